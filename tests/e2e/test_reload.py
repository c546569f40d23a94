"""Real processes replace their model, by SIGHUP and by an administrator's request, under load."""

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from contract.bundle import GRAPH
from service.access.keys import add_key, make_key
from tests.bundles import a_point
from tests.e2e.server import Server, running
from tests.e2e.test_workers import alive, await_workers, ready_workers
from tests.service.http.test_reload import GREY, PNG, version_of, write
from tests.waiting import until

REPLACED = "the model was replaced"
KEPT = "the old one stays in service"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The folder of the model brightness, with version 1."""
    folder = tmp_path / "brightness"
    write(folder, "1")
    return folder


def ask(server: Server, **headers: str) -> dict[str, Any]:
    """The answer to one image, over a connection of its own."""
    with server.client() as client:
        answer: dict[str, Any] = client.post("/predict", content=GREY, headers=PNG | headers).raise_for_status().json()
    return answer


@contextmanager
def under_load(server: Server, clients: int = 4) -> Iterator[list[str]]:
    """Requests from several clients within this context, and the versions that answered, in order. None is lost."""
    versions: list[str] = []
    ended = Event()

    def keep_asking() -> None:
        with server.client() as client:
            while not ended.is_set():
                versions.append(
                    version_of(client.post("/predict", content=GREY, headers=PNG).raise_for_status().json())
                )

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(keep_asking) for _ in range(clients)]
        try:
            yield versions
        finally:
            ended.set()
        for each in asking:
            each.result()


def test_sighup_replaces_the_model_under_load_and_a_broken_one_changes_nothing(models: Path, tmp_path: Path) -> None:
    with running(models, tmp_path) as server, under_load(server) as versions:
        server.process.send_signal(signal.SIGHUP)
        server.await_log("the model is unchanged")
        write(models, "2")
        server.process.send_signal(signal.SIGHUP)
        server.await_log(REPLACED)
        until(lambda: versions[-20:] == ["2"] * 20)
        (write(models, "3") / GRAPH).write_bytes(b"")
        server.process.send_signal(signal.SIGHUP)
        server.await_log(KEPT)
        before = len(versions)
        until(lambda: len(versions) > before + 20)
        assert set(versions[-10:]) == {"2"}
    reasons = [line["reason"] for line in server.log_lines if KEPT in line["message"]]
    assert reasons[0].startswith("XRAY_MODEL/model.onnx: SHA-256 differs")
    assert {line.get("outcome", "ok") for line in server.log_lines} == {"ok"}


def test_all_workers_replace_the_model_or_none(models: Path, tmp_path: Path) -> None:
    """One server, because each takes seconds to start; its steps are in the order of an administrator's day."""
    text, key = make_key("admin", ["admin", "predict", "metrics"])
    add_key(tmp_path / "keys.json", key)
    settings: dict[str, Any] = {"workers": 2, "keys_file": tmp_path / "keys.json", "allow_anonymous": True}
    with running(models, tmp_path, **settings) as server:
        await_workers(server, 2)
        with under_load(server) as versions:
            write(models, "2")
            server.process.send_signal(signal.SIGHUP)
            server.await_log("the model was replaced in all workers")
            before = len(versions)
            until(lambda: len(versions) > before + 20)
            assert set(versions[-10:]) == {"2"}
        server.await_log('"the model was replaced"', 2)
        assert server.log.count('"the model was replaced"') == 2
        _a_broken_one_is_kept_from_all(server, models, text)
        _a_worker_that_is_started_later_has_the_model_of_the_others(server, models)
        with server.client(headers={"X-API-Key": text}) as client:
            done = client.post("/model/reload").json()
            assert done == {"model": _named("3"), "previous": _named("2"), "replaced": True}
            assert not client.post("/model/reload").json()["replaced"]
        assert {version_of(ask(server)) for _ in range(8)} == {"3"}
        assert server.stop() == 0


def _named(version: str) -> dict[str, str]:
    return {"name": "brightness", "version": version}


def _a_broken_one_is_kept_from_all(server: Server, models: Path, key: str) -> None:
    broken = write(models, "3")
    good = (broken / GRAPH).read_bytes()
    (broken / GRAPH).write_bytes(b"")
    with server.client(headers={"X-API-Key": key}) as client:
        refused = client.post("/model/reload")
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith("XRAY_MODEL/model.onnx: SHA-256 differs")
        until(lambda: "\nxray_model_swap_failed 1.0" in client.get("/metrics").text)
    assert {version_of(ask(server)) for _ in range(8)} == {"2"}
    (broken / GRAPH).write_bytes(good)


def _a_worker_that_is_started_later_has_the_model_of_the_others(server: Server, models: Path) -> None:
    """Although version 3 is complete by now, and version 2 is gone."""
    shutil.rmtree(models / "2")
    victim, ready = ready_workers(server)[-1], len(ready_workers(server))
    os.kill(victim, signal.SIGKILL)
    until(lambda: not alive(victim))
    await_workers(server, ready + 1)
    assert [line["model_version"] for line in server.log_lines if line["message"] == "ready"] == ["1", "1", "2"]
    assert {version_of(ask(server)) for _ in range(8)} == {"2"}


def test_a_worker_that_cannot_load_the_model_keeps_it_from_all(models: Path, tmp_path: Path) -> None:
    """The bundle is sound, so the parent lets it be loaded; a worker's settings do not support it."""
    with running(models, tmp_path, workers=2, operating_point="balanced") as server:
        await_workers(server, 2)
        write(models, "2", operating_points={"other": a_point(0.5)}, default_operating_point="other")
        server.process.send_signal(signal.SIGHUP)
        server.await_log("no worker has replaced its model")
        (line,) = [line for line in server.log_lines if line["message"].startswith("no worker")]
        assert line["reason"].startswith("XRAY_OPERATING_POINT: there is no 'balanced'")
        assert {version_of(ask(server)) for _ in range(8)} == {"1"}
        assert httpx.get(f"{server.url}/health").json()["model"]["version"] == "1"
