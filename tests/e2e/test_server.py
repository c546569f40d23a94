"""The process that users start: with the bundled model, under load, and at shutdown."""

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import BUNDLED_MODEL
from tests.commands import SERVICE, run
from tests.drawings import chest, encode, jpeg
from tests.e2e.server import Server, running
from tests.problems import assert_problem
from tests.programs import needs
from tests.waiting import DEADLINE_S, until, until_async

JPEG = {"Content-Type": "image/jpeg"}
RETRY_S = 0.1  # how soon a client asks again that was refused


@needs("curl")
def test_curl_s_two_ways_give_the_same_probability(bundled_server: Server, tmp_path: Path) -> None:
    image = tmp_path / "xray.jpeg"
    image.write_bytes(jpeg())
    url = f"{bundled_server.url}/predict"
    answers = [
        httpx.Response(200, content=subprocess.run(["curl", "-sS", *how, url], check=True, capture_output=True).stdout)
        for how in (["-F", f"file=@{image}"], ["--data-binary", f"@{image}", "-H", "Content-Type: image/jpeg"])
    ]
    one, other = (answer.json()["predictions"][0]["probability"] for answer in answers)
    assert one == other


def test_no_core_dump_can_hold_images(bundled_server: Server) -> None:
    assert resource.prlimit(bundled_server.process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_it_is_the_bundled_model_on_the_cpu(bundled_server: Server) -> None:
    health = bundled_server.get("/health").json()
    assert health["model"] == {"name": "pneumonia", "version": BUNDLED_MODEL.name}
    assert health["provider"] == "CPUExecutionProvider"
    assert "Not a medical device" in bundled_server.get("/model/card").text


def test_ten_files_come_back_in_order(bundled_server: Server) -> None:
    images = [jpeg(seed) for seed in range(10)]
    with bundled_server.client() as client:
        alone = [client.post("/predict", content=data, headers=JPEG).json()["predictions"][0] for data in images]
        sent = [("file", (f"{number}.jpeg", data)) for number, data in enumerate(images)]
        together = client.post("/predict", files=sent).json()["predictions"]
    assert [entry["filename"] for entry in together] == [f"{number}.jpeg" for number in range(10)]
    assert [e["probability"] for e in together] == pytest.approx([e["probability"] for e in alone], abs=1e-5)


@pytest.mark.anyio
async def test_a_truncated_upload_among_31_others(bundled_server: Server) -> None:
    bodies = [jpeg(seed) for seed in range(32)]
    bodies[7] = bodies[7][: len(bodies[7]) // 2]
    async with bundled_server.async_client() as client:
        alone = [await client.post("/predict", content=body, headers=JPEG) for body in bodies]
        at_once = await asyncio.gather(*(client.post("/predict", content=body, headers=JPEG) for body in bodies))
    assert [response.status_code for response in at_once] == [200] * 7 + [422] + [200] * 24
    assert_problem(at_once[7], 422, "truncated-image")
    for one, other in zip(alone, at_once, strict=True):
        if one.status_code == 200:
            expected = one.json()["predictions"][0]["probability"]
            assert other.json()["predictions"][0]["probability"] == pytest.approx(expected, abs=1e-5)


async def not_ready(client: httpx.AsyncClient) -> httpx.Response | None:
    """The readiness answer once the service is not ready; None while it is."""
    answer = await client.get("/health/ready")
    return None if answer.status_code == 200 else answer


def closed(server: Server) -> bool:
    """Whether the port is closed."""
    try:
        socket.create_connection(("127.0.0.1", server.port)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.anyio
@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_under_load_loses_no_accepted_request(workers: int, tmp_path: Path) -> None:
    """SIGTERM: readiness turns 503, accepted requests are answered, later ones get 503 and Retry-After, exit code 0."""
    with running(BUNDLED_MODEL, tmp_path, drain_s=5, workers=workers) as server:
        statuses: list[int] = []
        refused: list[httpx.Response] = []

        async def send_requests(client: httpx.AsyncClient) -> None:
            while True:
                try:
                    response = await client.post("/predict", content=jpeg(), headers=JPEG)
                except httpx.TransportError:
                    return  # the port was closed before the service got this request, as its log must confirm below
                statuses.append(response.status_code)
                if response.status_code == 503:
                    refused.append(response)
                    await asyncio.sleep(RETRY_S)

        async with server.async_client(limits=httpx.Limits(max_keepalive_connections=0)) as client:
            clients = [asyncio.create_task(send_requests(client)) for _ in range(8)]
            await until_async(lambda: len(statuses) >= 40)
            server.process.send_signal(signal.SIGTERM)
            ready = await until_async(partial(not_ready, client))
            server.process.send_signal(signal.SIGTERM)  # a second one changes nothing
            await asyncio.gather(*clients)
        assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
        assert server.process.wait(DEADLINE_S) == 0
        assert set(statuses) == {200, 503}
        logged = [line["status"] for line in server.log_lines if line.get("route") == "/predict"]
        assert sorted(logged) == sorted(statuses)  # every request that the service received was answered
        assert_problem(refused[0], 503, "not-ready")
        assert all("retry-after" in response.headers for response in refused)


@pytest.mark.parametrize(
    ("workers", "expect"), [(1, b""), (1, b"Expect: 100-continue\r\n"), (2, b"Expect: 100-continue\r\n")]
)
def test_a_request_in_flight_at_sigterm_is_answered(workers: int, expect: bytes, tmp_path: Path) -> None:
    """The body is still arriving at the signal; the request was accepted before, so it is answered."""
    image = jpeg()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n%bContent-Length: %d\r\n\r\n"
    head %= expect, len(image)
    with running(BUNDLED_MODEL, tmp_path, drain_s=0.2, workers=workers) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
            connection.sendall(head)
            if expect:
                assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(image[:1000])
            server.get("/health")  # a later connection: when it is answered, the header of the first has been read
            server.process.send_signal(signal.SIGTERM)
            until(lambda: closed(server))
            connection.sendall(image[1000:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert server.process.wait(DEADLINE_S) == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_what_waits_at_the_port_when_it_closes_is_answered(workers: int, tmp_path: Path) -> None:
    """The kernel takes connections, and what they send, for processes that have no time; here they are stopped."""
    with running(BUNDLED_MODEL, tmp_path, drain_s=0, workers=workers) as server, contextlib.ExitStack() as clients:
        serving = children_of(server.process.pid) or [server.process.pid]
        assert len(serving) == workers
        for process in serving:
            os.kill(process, signal.SIGSTOP)
            until(lambda process=process: status_of(process, "State").startswith("T"))  # type: ignore[misc]
        address = "127.0.0.1", server.port
        waiting = [clients.enter_context(socket.create_connection(address, timeout=DEADLINE_S)) for _ in range(20)]
        for connection in waiting:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        server.process.send_signal(signal.SIGTERM)
        pending = 1 << (signal.SIGTERM - 1)
        until(lambda: all(int(status_of(process, "ShdPnd"), 16) & pending for process in serving))
        for process in serving:
            os.kill(process, signal.SIGCONT)
        assert {connection.recv(65536)[:12] for connection in waiting} <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        assert server.process.wait(DEADLINE_S) == 0


def children_of(process: int) -> list[int]:
    """The ids of the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def status_of(process: int, field: str) -> str:
    """A field of the status of a process (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


@pytest.mark.anyio
async def test_disconnected_clients_free_their_slots(bundled_server: Server) -> None:
    image = jpeg()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(image)
    for number in range(60):
        _, writer = await asyncio.open_connection("127.0.0.1", bundled_server.port)
        writer.write((head + image)[: len(head) + 37 * number])  # during the upload, or just after it
        await writer.drain()
        writer.close()
    async with bundled_server.async_client() as client:

        async def none_in_flight() -> bool:
            return "xray_seats_taken 0.0" in (await client.get("/metrics")).text

        await until_async(none_in_flight)
        assert (await client.post("/predict", content=image, headers=JPEG)).status_code == 200
    assert "Traceback" not in bundled_server.log


def test_resident_memory_stays_under_300_mib(tmp_path: Path) -> None:
    with running(BUNDLED_MODEL, tmp_path) as server, server.client() as client:
        for _ in range(5):
            sent = [("file", ("x.jpeg", jpeg(seed))) for seed in range(32)]
            assert client.post("/predict", files=sent).status_code == 200
        assert server.resident_mib() < 300


def test_a_port_that_is_taken_is_a_failure(bundled_server: Server) -> None:
    ended = run([*SERVICE, "--port", bundled_server.port, "--model", BUNDLED_MODEL])
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr


def images_with_the_model(server: Server) -> float:
    """How many images the model has had."""
    return float(re.findall(r"^xray_batch_size_sum (.*)$", server.get("/metrics").text, re.M)[0])


def test_images_of_clients_that_have_left_are_not_analysed(bundle_folder: Path, tmp_path: Path) -> None:
    body, count = encode(chest(width=3000, height=3000)), 30
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
    with running(bundle_folder, tmp_path, decode_threads=1) as server:
        before = images_with_the_model(server)
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(head + body)

        def ended() -> list[dict[str, Any]]:
            return [line for line in server.log_lines if line.get("route") == "/predict"]

        until(lambda: len(ended()) == count)
        gone = [line for line in ended() if line["status"] == 499]
        assert gone  # all but those that were answered before it was seen that their clients had left
        assert {line["outcome"] for line in gone} == {"client-gone"}
        assert images_with_the_model(server) - before <= count - len(gone) + 1  # one was with the model at that moment
