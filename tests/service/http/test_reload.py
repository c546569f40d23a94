"""``POST /model/reload``: the served model is replaced under requests. None is lost, and each has one model."""

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from contract.bundle import GRAPH, MANIFEST
from service.access.keys import Scope, add_key, make_key
from service.core import Service
from service.inference.backend import Backend
from tests.bundles import GUARD, a_point, brightness_graph, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode
from tests.fakes import FakeBackend
from tests.problems import assert_problem
from tests.waiting import until_async

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("untried")]
GREY = encode(np.full((200, 200), 102, np.uint8), "PNG")
PNG = {"Content-Type": "image/png"}
# By version: the grey level that becomes 1, and the threshold.
VERSIONS = {"1": (255.0, 0.4), "2": (510.0, 0.3), "3": (1020.0, 0.05)}
# By version: the probability, the threshold and the label of GREY.
ANSWERS = {"1": (0.4, 0.4, "PNEUMONIA"), "2": (0.2, 0.3, "NORMAL"), "3": (0.1, 0.05, "PNEUMONIA")}


def write(folder: Path, version: str, **changes: Any) -> Path:
    """A bundle whose answers identify its version."""
    full, threshold = VERSIONS[version]
    graph = brightness_graph(full=full, features=2 if "input_guard" in changes else 0)
    points = {"balanced": a_point(threshold)}
    fields = {"version": version, "operating_points": points} | changes
    return write_brightness_bundle(folder / version, graph, **fields)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The folder of the model brightness, with version 1."""
    folder = tmp_path / "models" / "brightness"
    write(folder, "1")
    return folder


MakeControlled = Callable[..., tuple[Service, dict[str, str]]]


@pytest.fixture
def controlled(make_service: MakeService, models: Path, tmp_path: Path) -> MakeControlled:
    """Makes services of that folder, and a key with these scopes; with the arguments of ``make_service``."""

    def make(*scopes: Scope, backend: Backend | None = None, **changes: Any) -> tuple[Service, dict[str, str]]:
        text, key = make_key("key", scopes or ["admin", "predict", "metrics"])
        add_key(tmp_path / "keys.json", key)
        settings = {"model": models, "keys_file": tmp_path / "keys.json"} | changes
        return make_service(backend, **settings), {"Authorization": f"Bearer {text}"}

    return make


async def reload(client: httpx.AsyncClient, key: dict[str, str]) -> httpx.Response:
    return await client.post("/model/reload", headers=key)


async def predict(client: httpx.AsyncClient, key: dict[str, str]) -> dict[str, Any]:
    answer = await client.post("/predict", content=GREY, headers=key | PNG)
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


def version_of(answer: dict[str, Any]) -> str:
    """The version that an answer names; its probability, threshold and label must be that version's, too."""
    version = str(answer["model"]["version"])
    (image,) = answer["predictions"]
    probability, threshold, label = ANSWERS[version]
    assert image["probability"] == pytest.approx(probability, abs=1e-4)
    assert (image["threshold"], image["label"]) == (threshold, label)
    return version


async def test_a_hundred_replacements_under_load_lose_and_mix_nothing(
    controlled: MakeControlled, connect: Connect, models: Path, tmp_path: Path
) -> None:
    current = tmp_path / "current"
    for version in ("2", "3"):
        write(models, version)
    current.symlink_to(models / "1")
    (tmp_path / "audit").mkdir()
    service, key = controlled(model=current, audit="on", audit_folder=tmp_path / "audit")
    answered: list[str] = []
    async with connect(service) as client:
        ended = asyncio.Event()

        async def keep_asking() -> None:
            while not ended.is_set():
                answered.append(version_of(await predict(client, key)))

        clients = [asyncio.create_task(keep_asking()) for _ in range(4)]
        for number in range(100):
            version = ("2", "3", "1")[number % 3]
            current.unlink()
            current.symlink_to(models / version)
            done = (await reload(client, key)).json()
            assert (done["model"]["version"], done["replaced"]) == (version, True)
            assert (await client.get("/health", headers=key)).json()["model"]["version"] == version
            before = len(answered)
            await until_async(lambda: version in answered[before:])  # noqa: B023  at once
        ended.set()
        await asyncio.gather(*clients)
        metrics = (await client.get("/metrics", headers=key)).text
    lines = [
        json.loads(line) for file in (tmp_path / "audit").rglob("*.jsonl") for line in file.read_text().splitlines()
    ]
    assert Counter(line["version"] for line in lines if line["event"] == "read") == Counter(answered)
    for line in (line for line in lines if line["event"] == "read"):
        assert (round(line["probability"], 4), line["threshold"], line["label"]) == ANSWERS[line["version"]]
        assert line["graph_sha256"] == json.loads((models / line["version"] / MANIFEST).read_text())["files"][GRAPH]
    assert [line["version"] for line in lines if line["event"] == "replaced"] == ["2", "3", "1"] * 33 + ["2"]
    assert f'xray_requests_total{{route="/predict",status="200"}} {float(len(answered))}' in metrics
    assert re.findall(r'\nxray_model_info{.*version="(.*?)"', metrics) == ["2"]


async def test_a_request_that_has_begun_is_completed_with_the_old_model(
    controlled: MakeControlled, connect: Connect, models: Path
) -> None:
    backend = FakeBackend()
    service, key = controlled(backend=backend)
    write(models, "2")
    async with connect(service) as client:
        backend.hold = threading.Event()
        begun = asyncio.create_task(predict(client, key))
        await until_async(lambda: len(backend.sizes) > 2)  # after the warm-up
        old = service.main
        assert (await reload(client, key)).json()["previous"] == {"name": "brightness", "version": "1"}
        assert old.is_live
        backend.hold.set()
        assert (await begun)["model"]["version"] == "1"
        await until_async(lambda: not old.is_live)
        assert version_of(await predict(client, key)) == "2"


async def test_an_upload_that_has_begun_is_completed_with_the_old_model(
    controlled: MakeControlled, connect: Connect, models: Path
) -> None:
    service, key = controlled()
    write(models, "2")
    half, rest = asyncio.Event(), asyncio.Event()

    async def body() -> Any:
        yield GREY[:100]
        half.set()
        await rest.wait()
        yield GREY[100:]

    async with connect(service) as client:
        begun = asyncio.create_task(client.post("/predict", content=body(), headers=key | PNG))
        await half.wait()
        assert (await reload(client, key)).json()["replaced"]
        rest.set()
        assert version_of((await begun).json()) == "1"
        assert version_of(await predict(client, key)) == "2"


def _unsound(folder: Path) -> None:
    (folder / GRAPH).write_bytes(b"no graph")


def _incomplete(folder: Path) -> None:
    (folder / GRAPH).unlink()


def _renumbered(folder: Path) -> None:
    """Version 1 again, with another threshold."""
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace('"version": "2"', '"version": "1"'))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (_unsound, "XRAY_MODEL/model.onnx: SHA-256 differs from manifest.json"),
        (_incomplete, "XRAY_MODEL/model.onnx: No such file"),
        (_renumbered, "XRAY_MODEL: brightness/1 is already served, with other files"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "XRAY_MODEL/manifest.json: "),
    ],
)
async def test_a_model_that_cannot_be_served_leaves_the_old_one(  # noqa: PLR0917
    controlled: MakeControlled,
    connect: Connect,
    models: Path,
    caplog: pytest.LogCaptureFixture,
    break_it: Callable[[Path], object],
    words: str,
) -> None:
    service, key = controlled()
    break_it(write(models, "2"))
    async with connect(service) as client:
        problem = assert_problem(await reload(client, key), 422, "unsound-model")
        assert problem["detail"].startswith(words)
        assert str(models) not in problem["detail"]
        assert version_of(await predict(client, key)) == "1"
        assert "xray_model_swap_failed 1.0" in (await client.get("/metrics", headers=key)).text
        (line,) = [record for record in caplog.records if "was not replaced" in record.message]
        assert line.reason == problem["detail"]  # type: ignore[attr-defined]
        (models / "2").rename(models / "spoilt")
        unchanged = await reload(client, key)
        assert (unchanged.status_code, unchanged.json()["replaced"]) == (200, False)
        assert "xray_model_swap_failed 0.0" in (await client.get("/metrics", headers=key)).text


async def test_a_model_that_fails_its_warm_up_leaves_the_old_one(
    controlled: MakeControlled, connect: Connect, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, key = controlled()
    write(models, "2")
    backend = FakeBackend()
    backend.fails = 0
    monkeypatch.setattr("service.inference.loading.graphs.OnnxBackend", lambda *_, **__: backend)
    async with connect(service) as client:
        problem = assert_problem(await reload(client, key), 422, "unsound-model")
        assert problem["detail"] == "the model fails on a blank image"
        assert version_of(await predict(client, key)) == "1"
        assert len([task for task in asyncio.all_tasks() if task.get_name().startswith("batcher")]) == 1


async def test_settings_that_the_new_model_does_not_support_leave_the_old_one(
    controlled: MakeControlled, connect: Connect, models: Path
) -> None:
    service, key = controlled(operating_point="balanced")
    write(models, "2", operating_points={"other": a_point(0.5)}, default_operating_point="other")
    async with connect(service) as client:
        problem = assert_problem(await reload(client, key), 422, "unsound-model")
        assert problem["detail"].startswith("XRAY_OPERATING_POINT: there is no 'balanced'")
        assert version_of(await predict(client, key)) == "1"


async def test_the_highest_version_in_a_folder_is_served(
    controlled: MakeControlled, connect: Connect, models: Path
) -> None:
    for folder in ("4.partial", "new", "0"):
        (models / folder).mkdir()
        (models / folder / MANIFEST).write_text("{}")
    (models / "9").mkdir()  # being copied: no manifest yet
    write(models, "2")
    service, key = controlled()
    async with connect(service) as client:
        assert version_of(await predict(client, key)) == "2"
        write(models, "3")
        assert (await reload(client, key)).json()["model"] == {"name": "brightness", "version": "3"}
        assert version_of(await predict(client, key)) == "3"


async def test_only_an_administrator_replaces_the_model(
    controlled: MakeControlled, connect: Connect, models: Path
) -> None:
    service, key = controlled("predict", "metrics")
    write(models, "2")
    async with connect(service) as client:
        assert_problem(await reload(client, key), 403, "forbidden")
        assert_problem(await reload(client, {}), 401, "unauthorized")
        assert version_of(await predict(client, key)) == "1"


async def test_nobody_replaces_the_model_without_keys(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        assert_problem(await reload(client, {}), 403, "forbidden")


async def test_one_change_at_a_time_and_only_while_ready(
    controlled: MakeControlled, connect: Connect, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, key = controlled()
    write(models, "2")
    backend = FakeBackend()
    backend.hold = threading.Event()
    monkeypatch.setattr("service.inference.loading.graphs.OnnxBackend", lambda *_, **__: backend)
    async with connect(service) as client:
        first = asyncio.create_task(reload(client, key))
        await until_async(lambda: backend.sizes)
        assert_problem(await reload(client, key), 409, "model-conflict")
        assert_problem(await client.post("/model/reload?version=2", headers=key), 422, "invalid-request")
        backend.hold.set()
        assert (await first).json()["replaced"]
        service.admission.close()
        assert_problem(await reload(client, key), 503, "not-ready")


async def test_the_other_models_stay_and_one_that_becomes_the_main_model_is_loaded_once(
    controlled: MakeControlled, connect: Connect, models: Path
) -> None:
    service, key = controlled()
    write(models, "2")
    write(models, "3")
    service.repository.load_at_start(["brightness/2", "brightness/3"])
    (models / "3").rename(models / "3.old")
    async with connect(service) as client:
        assert (await reload(client, key)).json()["model"]["version"] == "2"
        assert service.repository.versions("brightness") == ["2", "3"]
        assert service.repository.find("brightness") is service.main
        assert service.repository.find("brightness", "2") is service.main


async def test_the_bins_of_the_old_model_end(controlled: MakeControlled, connect: Connect, models: Path) -> None:
    service, key = controlled()
    write(models, "2", input_guard=GUARD)
    async with connect(service) as client:
        await predict(client, key)
        before = (await client.get("/metrics", headers=key)).text
        await reload(client, key)
        await client.post("/predict", content=GREY, headers=key | PNG)
        after = (await client.get("/metrics", headers=key)).text
    assert 'feature="guard_score"' not in before
    assert 'xray_drift_images_total{bin="0: to 0.2",feature="guard_score"}' in after
    counted = re.findall(r'xray_drift_images_total{.*feature="brightness"} (.*)', after)
    assert sum(map(float, counted)) == 1
