"""Several workers on one port: which answers, shared metrics, and what happens when one or all of them end."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.access.keys import add_key, make_key
from tests.commands import SERVICE, run
from tests.drawings import jpeg
from tests.e2e.server import Server, running
from tests.e2e.test_audit import ask, kept, verify
from tests.e2e.test_tls import Files
from tests.waiting import DEADLINE_S, until

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def server(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(bundle_folder, tmp_path_factory.mktemp("workers"), workers=2) as started:
        await_workers(started, 2)
        yield started


def ready_workers(server: Server) -> list[int]:
    """Process ids of all workers that have become ready so far, those that ended included."""
    return [line["pid"] for line in server.log_lines if line["message"] == "ready"]


def await_workers(server: Server, count: int) -> None:
    """Wait until this many workers have become ready, those that ended included."""
    until(lambda: len(ready_workers(server)) == count, lambda: server.log)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def samples(client: httpx.Client) -> dict[str, float]:
    """The samples of ``/metrics`` by name and labels."""
    text = client.get("/metrics").text
    return {
        "/".join([sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def answered_by(server: Server, client: httpx.Client) -> int:
    """The process id of the worker that has the client's connection."""
    request_id = client.get("/model").headers["X-Request-ID"]
    until(lambda: any(line.get("request_id") == request_id for line in server.log_lines))
    return next(int(line["pid"]) for line in server.log_lines if line.get("request_id") == request_id)


@pytest.fixture
def of_each(server: Server) -> Iterator[list[httpx.Client]]:
    """Clients with open connections, one to each worker."""
    found: dict[int, httpx.Client] = {}
    spare: list[httpx.Client] = []

    def all_found() -> bool:
        client = server.client()
        spare.append(client)
        found.setdefault(answered_by(server, client), client)
        return len(found) == 2

    until(all_found)
    yield list(found.values())
    for client in spare:
        client.close()


def test_workers_start_although_asyncio_resets_the_wakeup_descriptor_after_a_fork(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since Python 3.12 asyncio does this before a worker can; the hook here does the same on any version."""
    hook = "import os, signal\nos.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))\n"
    (tmp_path / "sitecustomize.py").write_text(hook)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with running(bundle_folder, tmp_path, workers=2) as started:
        await_workers(started, 2)
        assert started.stop() == 0


def test_any_worker_exposes_the_metrics_of_all(server: Server, of_each: list[httpx.Client]) -> None:
    name = "xray_requests_total/route=/predict/status=200"
    counted = [samples(of_each[0])[name]]
    for number in range(10):
        of_each[number % 2].post("/predict", content=jpeg(), headers=JPEG).raise_for_status()
        counted += [samples(client)[name] for client in of_each]
    assert counted == sorted(counted)  # the counts of other workers arrive up to a second late, and never decrease
    before = counted[0]
    until(lambda: {samples(client)[name] for client in of_each} == {before + 10})
    total = samples(of_each[1])
    assert total["xray_request_seconds_count/route=/predict"] == before + 10
    assert total["xray_request_seconds_bucket/le=+Inf/route=/predict"] == before + 10
    assert total["xray_seats"] == 128

    def settled() -> bool:  # the other worker tells of itself once a second
        now = samples(of_each[1])
        return (now["xray_seats_taken"], now["xray_ready"]) == (0, 1)

    until(settled)
    assert total["process_cpu_seconds_total/worker=0"] > 0
    assert total["process_cpu_seconds_total/worker=1"] > 0
    assert sum(key.startswith("xray_model_info") for key in total) == 1


def test_any_worker_has_the_statistics_of_all(server: Server, of_each: list[httpx.Client]) -> None:
    """Those of the Open Inference Protocol."""
    body = {"inputs": [{"name": "image", "shape": [1, 200, 200, 1], "datatype": "UINT8", "data": [51] * 40_000}]}
    for client in of_each:
        assert client.post("/v2/models/brightness/infer", json=body).status_code == 200

    def images() -> list[int]:
        asked = [client.get("/v2/models/brightness/stats").json()["model_stats"][0] for client in of_each]
        return [each["inference_count"] for each in asked]

    until(lambda: images() == [2, 2], images)


def test_a_killed_worker_is_replaced_and_the_others_continue(server: Server, of_each: list[httpx.Client]) -> None:
    victim, other = (answered_by(server, client) for client in of_each)
    of_each[0].post("/predict", content=jpeg(), headers=JPEG).raise_for_status()
    before = samples(of_each[1])
    ready = len(ready_workers(server))
    os.kill(victim, signal.SIGKILL)
    with contextlib.suppress(httpx.TransportError):  # httpx may have seen the end of the connection, and opens another
        of_each[0].get("/model")
    assert answered_by(server, of_each[1]) == other
    await_workers(server, ready + 1)
    server.await_log("a worker exited unexpectedly")  # another process writes it than the line "ready"
    (line,) = [each for each in server.log_lines if each.get("worker_pid") == victim]
    assert (line["message"], line["exit_code"]) == ("a worker exited unexpectedly", -signal.SIGKILL)
    until(lambda: samples(of_each[1])["xray_ready"] == 1)
    after = samples(of_each[1])
    counted = [key for key in before if key.startswith("xray_") and ("_total" in key or "_bucket" in key)]
    assert len(counted) > 100
    assert {key for key in counted if after[key] < before[key]} == set()


def test_a_worker_that_gets_sigterm_is_replaced(server: Server, of_each: list[httpx.Client]) -> None:
    ready = len(ready_workers(server))
    os.kill(answered_by(server, of_each[0]), signal.SIGTERM)
    assert of_each[1].post("/predict", content=jpeg(), headers=JPEG).status_code == 200
    await_workers(server, ready + 1)


def test_workers_end_with_their_parent(bundle_folder: Path, tmp_path: Path) -> None:
    with running(bundle_folder, tmp_path, workers=2) as server:
        await_workers(server, 2)
        workers = ready_workers(server)
        server.process.kill()
        until(lambda: not any(alive(worker) for worker in workers))
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", server.port))


def test_sigterm_while_workers_start_is_an_orderly_shutdown(bundle_folder: Path, tmp_path: Path) -> None:
    with running(bundle_folder, tmp_path, workers=8) as server:  # one is ready
        assert server.stop() == 0
    assert all(line["level"] == "INFO" for line in server.log_lines)


def test_workers_that_fail_repeatedly_end_the_service(bundle_folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    add_key(keys, make_key("ward", ["predict"])[1])
    with running(bundle_folder, tmp_path, workers=2, keys_file=keys) as server:
        await_workers(server, 2)
        workers = ready_workers(server)
        keys.unlink()
        os.kill(workers[0], signal.SIGKILL)
        assert server.process.wait(DEADLINE_S) == 1
        assert not any(alive(worker) for worker in workers)
    assert server.log.count("XRAY_KEYS_FILE: ") == 4
    assert server.log.count("times in a row; the service exits") == 1


def start(*options: str) -> subprocess.CompletedProcess[str]:
    return run([*SERVICE, "--workers", "3", "--device", "cpu", *options])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--operating-point", "nope"], 2, "XRAY_OPERATING_POINT: there is no 'nope'"),
        (["--model", "nowhere"], 1, "nowhere/manifest.json: No such file or directory"),
        (["--model-control", "1"], 2, "XRAY_MODEL_CONTROL requires XRAY_WORKERS=1"),
        (["--workers", "65"], 2, "XRAY_WORKERS: it must be 64 or less"),
    ],
)
def test_a_wrong_setting_is_reported_once(options: list[str], code: int, words: str) -> None:
    ended = start("--port", "0", *options)
    assert ended.returncode == code
    assert ended.stderr.startswith(f"xray-service: {words}")
    assert ended.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_a_failure(server: Server) -> None:
    ended = start("--port", str(server.port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{server.port}: Address already in use" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_each_worker_has_its_own_audit_chain(bundle_folder: Path, tmp_path: Path, audit_folder: Path) -> None:
    folder = audit_folder
    with running(bundle_folder, tmp_path, workers=2, audit="required", audit_folder=folder) as server:
        await_workers(server, 2)
        answers = asyncio.run(ask(server, 40))
        assert server.stop() == 0
    assert [response.text for response in answers.values() if response.status_code != 200] == []
    assert len(answers) == 40
    assert kept(folder).keys() == answers.keys()
    chains = verify(folder)
    assert len(chains) == 2
    assert sum(chain["lines"] for chain in chains) == 40 + 2 * len(chains)


def test_tls_of_all_workers_is_renewed_and_plain_http_does_no_harm(bundle_folder: Path, tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.issue()
    pair = {"tls_certificate": files.certificate, "tls_key": files.key}
    with running(bundle_folder, tmp_path, trusted=files.context(), workers=2, **pair) as server:
        await_workers(server, 2)
        for _ in range(4):
            assert not server.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP")
        files.issue()
        server.await_log("TLS certificate reloaded", times=2)
        for _ in range(4):
            assert server.get("/health").status_code == 200
        assert server.stop() == 0
    assert "Traceback" not in server.log
