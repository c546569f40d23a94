"""What hangs and what dies: the service says so, ends in time, and replaces what only a new process can mend."""

import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.workers.grace import FORCED_EXIT
from tests import ROOT
from tests.commands import run
from tests.drawings import jpeg
from tests.e2e.server import Server, running
from tests.e2e.test_workers import JPEG, alive, answered_by, await_workers, ready_workers, samples
from tests.waiting import DEADLINE_S, until

# Short, so that calls hang and graces end soon. Where a busy machine makes them too short, a request gets its 504.
SHORT: dict[str, Any] = {"deadline_s": 0.5, "upload_s": 1, "drain_s": 0}


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder whose files switch faults on."""
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv("FAULTS", str(folder))
    return folder


def hang_a_call(client: httpx.Client, faults: Path) -> None:
    """Ask until a call of the model hangs. Where the machine pauses, an image may miss its deadline before its call."""
    (faults / "hang").touch()

    def hangs() -> bool:
        assert client.post("/predict", content=jpeg(), headers=JPEG).status_code in {408, 503, 504}
        return (faults / "hangs").exists()

    until(hangs)


def status_of(client: httpx.Client, path: str) -> int:
    return client.get(path).status_code


def test_a_call_that_hangs_turns_the_probes_and_does_not_keep_the_process(
    bundle_folder: Path, tmp_path: Path, faults: Path
) -> None:
    limits = SHORT | {"drain_s": DEADLINE_S}  # during the drain, its probes can be read
    with running(bundle_folder, tmp_path, program="tests.e2e.faulty", **limits) as server, server.client() as client:
        hang_a_call(client, faults)
        until(lambda: status_of(client, "/health/ready") == 503)
        assert client.get("/health").json()["status"] in {"failing", "draining"}
        until(lambda: status_of(client, "/health/live") == 503)
        (faults / "hang").unlink()
        until(lambda: status_of(client, "/health/live") == 200)


def test_a_call_that_hangs_for_good_ends_the_process(bundle_folder: Path, tmp_path: Path, faults: Path) -> None:
    with running(bundle_folder, tmp_path, program="tests.e2e.faulty", **SHORT) as server:
        with server.client() as client:
            hang_a_call(client, faults)
        assert server.process.wait(DEADLINE_S) == FORCED_EXIT
    assert "has been running for 3 s" in server.log
    assert "has not ended within the grace" in server.log


def test_a_batcher_that_fails_ends_the_process(bundle_folder: Path, tmp_path: Path, faults: Path) -> None:
    # Fewer calls of the model than threads: the images wait in the batcher.
    batched: dict[str, Any] = {"parallel_runs": 1, "decode_threads": 2}
    with running(bundle_folder, tmp_path, program="tests.e2e.faulty", **batched) as server:
        (faults / "batcher").touch()
        with server.client() as client:
            assert client.post("/predict", content=jpeg(), headers=JPEG).status_code == 503
        assert server.process.wait(DEADLINE_S) == 1
    assert "the batcher of brightness/1 has failed" in server.log
    assert "ZeroDivisionError" in server.log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_hangs_ends_the_process(bundle_folder: Path, faults: Path, workers: int) -> None:
    (faults / "start").touch()
    options = ["--model", str(bundle_folder), "--port", "0", "--workers", str(workers), "--start-s", "1"]
    ended = run([sys.executable, "-m", "tests.e2e.faulty", "serve", *options], cwd=ROOT)
    assert ended.returncode == 1
    (line,) = [json.loads(each) for each in ended.stderr.splitlines() if "the start hangs" in each]
    assert "_faulty_read" in line["stack"]


def test_an_event_loop_that_hangs_ends_the_process(bundle_folder: Path, tmp_path: Path, faults: Path) -> None:
    with running(bundle_folder, tmp_path, program="tests.e2e.faulty", worker_timeout_s=5) as server:
        (faults / "loop").touch()
        with server.client() as client, pytest.raises(httpx.TransportError):
            client.post("/predict", content=jpeg(), headers=JPEG)
        assert server.process.wait(DEADLINE_S) == 1
    (line,) = [each for each in server.log_lines if "the event loop hangs" in each["message"]]
    assert "_faulty_image_analysed" in line["stack"]


def client_of_another(server: Server, worker: int) -> httpx.Client:
    """A client whose connection is not to this worker."""

    def found() -> httpx.Client | None:
        client = server.client()
        if answered_by(server, client) != worker:
            return client
        client.close()
        return None

    return until(found)


def test_a_stopped_worker_is_replaced_and_does_not_keep_the_others(bundle_folder: Path, tmp_path: Path) -> None:
    with running(bundle_folder, tmp_path, workers=2, worker_timeout_s=5, **SHORT) as server:
        await_workers(server, 2)
        with server.client() as client:
            victim = answered_by(server, client)
            with closing(client_of_another(server, victim)) as other:
                os.kill(victim, signal.SIGSTOP)
                with pytest.raises(httpx.TransportError):
                    client.get("/model")
                assert other.get("/model").is_success
                until(lambda: len(ready_workers(server)) > 2)
                until(lambda: samples(other)["xray_workers_replaced_total/reason=silent"] > 0)
        assert not alive(victim)
        assert victim in {line["worker_pid"] for line in server.log_lines if "silent" in line["message"]}
        os.kill(ready_workers(server)[-1], signal.SIGSTOP)
        assert server.stop() == FORCED_EXIT
        assert not any(alive(worker) for worker in ready_workers(server))
