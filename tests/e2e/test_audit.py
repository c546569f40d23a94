"""The audit log of a real server: killed under load, with a full disk, with rotating files; verified by the command."""

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import BUNDLED_MODEL
from tests.commands import SERVICE, run
from tests.disks import enlarge, small_disk
from tests.drawings import jpeg
from tests.e2e.server import Server, running
from tests.waiting import DEADLINE_S

JPEG = {"Content-Type": "image/jpeg"}
IMAGES = [jpeg(seed) for seed in range(8)]


def verify(folder: Path, *words: str) -> list[dict[str, Any]]:
    """The result of ``audit verify`` for each chain; it must find no fault."""
    done = run([*SERVICE, "audit", "verify", folder, "--json", *words])
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """The log lines of images, by request id."""
    lines = [line for path in sorted(folder.glob("*/audit-*.jsonl")) for line in path.read_bytes().splitlines(True)]
    events = [json.loads(line) for line in lines if line.endswith(b"}\n")]
    return {event["request_id"]: event for event in events if event["event"] == "read"}


async def ask(server: Server, count: int, kill_after: int | None = None) -> dict[str, httpx.Response]:
    """Send ``count`` requests, at most eight at once; return the answers received, by request id."""
    answers: dict[str, httpx.Response] = {}
    async with server.async_client() as client:

        async def one(number: int) -> None:
            try:
                response = await client.post("/predict", content=IMAGES[number % 8], headers=JPEG)
            except httpx.TransportError:
                return
            answers[response.headers["X-Request-ID"]] = response
            if len(answers) == kill_after:
                server.process.kill()

        limit = asyncio.Semaphore(8)

        async def in_turn(number: int) -> None:
            async with limit:
                await one(number)

        await asyncio.gather(*(in_turn(number) for number in range(count)))
    return answers


@pytest.mark.anyio
async def test_a_killed_server_has_logged_every_answer_it_gave(tmp_path: Path, audit_folder: Path) -> None:
    """Also while files rotate; and the next server continues the chain."""
    folder = audit_folder
    settings: dict[str, Any] = {"audit": "required", "audit_folder": folder, "audit_max_bytes": 5000}
    answers: dict[str, httpx.Response] = {}
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        with running(BUNDLED_MODEL, tmp_path / str(number), **settings) as server:
            answers |= await ask(server, 120, kill_after=50)
            assert server.process.wait(DEADLINE_S) == -9
    assert len(answers) >= 100
    found = kept(folder)
    for request_id, response in answers.items():
        line, prediction = found[request_id], response.json()["predictions"][0]
        assert (line["label"], line["probability"]) == (prediction["label"], prediction["probability"])
        assert line["image_sha256"] in {hashlib.sha256(image).hexdigest() for image in IMAGES}
    (before,) = verify(folder)
    assert before["files"] > 10
    assert (before["lines"], before["unclean"]) == (len(found) + 2 + before["torn"], 1)
    (tmp_path / "3").mkdir()
    with running(BUNDLED_MODEL, tmp_path / "3", **settings) as server:
        await ask(server, 3)
        assert server.stop() == 0
        heads = [line["head"] for line in server.log_lines if line["message"] == "audit closed"]
    (after,) = verify(folder, "--expect", before["head"])
    assert after["unclean"] == 2
    assert heads == [after["head"]]  # the service log records the last hash independently


@pytest.mark.anyio
async def test_two_servers_in_one_folder_have_separate_chains(tmp_path: Path, audit_folder: Path) -> None:
    folder = audit_folder
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        running(BUNDLED_MODEL, tmp_path / "a", audit="on", audit_folder=folder) as one,
        running(BUNDLED_MODEL, tmp_path / "b", audit="on", audit_folder=folder) as other,
    ):
        await asyncio.gather(ask(one, 20), ask(other, 30))
        assert len(verify(folder)) == 2  # while they run, too
        assert (one.stop(), other.stop()) == (0, 0)
    assert sorted(chain["lines"] for chain in verify(folder)) == [22, 32]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB; needs root to mount it."""
    with small_disk(tmp_path / "disk", "128k"):
        yield tmp_path / "disk"


def filled(server: Server, status: int, ready: int) -> None:
    """Send requests until the disk is full, then check the service's answers and readiness."""
    for _ in range(40):
        last = list((asyncio.run(ask(server, 20))).values())
        if "cannot write the audit log" in server.log:
            break
    assert {response.status_code for response in last} <= {200, status}
    again = list((asyncio.run(ask(server, 20))).values())
    assert {response.status_code for response in again} == {status}
    assert server.get("/health/ready").status_code == ready
    assert server.log.count("cannot write the audit log") == 1


@pytest.mark.parametrize(("mode", "status", "ready"), [("on", 200, 200), ("required", 503, 503)])
def test_a_full_disk(mode: str, status: int, ready: int, disk: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"audit": mode, "audit_folder": disk, "audit_max_bytes": 20_000}
    with running(BUNDLED_MODEL, tmp_path, **settings) as server:
        filled(server, status, ready)
        enlarge(disk, "4m")
        server.await_log("audit log writing resumed")
        answers = asyncio.run(ask(server, 10))
        assert server.get("/health/ready").status_code == 200
        metrics = server.get("/metrics").text
        assert "xray_audit_failing 0.0" in metrics
        assert server.stop() == 0
    assert answers.keys() <= kept(disk).keys()
    (chain,) = verify(disk)
    assert chain["lost"] >= 20 if mode == "on" else chain["lost"] >= 1


def test_a_disk_that_turns_read_only(disk: Path, tmp_path: Path) -> None:
    with running(BUNDLED_MODEL, tmp_path, audit="required", audit_folder=disk, audit_max_bytes=1) as server:
        assert {response.status_code for response in (asyncio.run(ask(server, 5))).values()} == {200}
        # Bind-mount the folder read-only over itself: the disk cannot be remounted while the service has a file open.
        subprocess.run(["mount", "--bind", disk, disk], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", disk], check=True)
            answers = (asyncio.run(ask(server, 5))).values()
            assert {response.json()["type"] for response in answers} == {"/problems/audit-unavailable"}
        finally:
            subprocess.run(["umount", disk], check=True)
        server.await_ready()
        assert {response.status_code for response in (asyncio.run(ask(server, 5))).values()} == {200}
    assert verify(disk)[0]["fault"] is None
