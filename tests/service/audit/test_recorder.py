"""The audit of a service: what is kept of whom, and what happens when it cannot be."""

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.__main__ import DONE, FAILED, WRONG_USE, main
from service.audit.chain import Chain, chains_of, files_of
from service.audit.line import Event
from service.audit.verify import verify_chain
from service.core import Service
from tests.conftest import Connect, MakeService
from tests.drawings import encode, jpeg
from tests.fakes import FakeBackend
from tests.problems import assert_problem

JPEG = {"Content-Type": "image/jpeg"}
NAME = "Meier, Anna 1971-03-04.jpeg"


def kept(folder: Path, event: str = "read") -> list[dict[str, Any]]:
    """The audit's lines of this kind, of all chains, which must be as they were written."""
    assert [verdict for chain in chains_of(folder) if (verdict := verify_chain(chain)[0]).fault] == []
    paths = [path for chain in chains_of(folder) for path in files_of(chain)]
    told = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [each for each in told if each["event"] == event]


async def until(true: Any) -> None:
    """Wait for something."""
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not come to be")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["on", "required"])
async def test_who_asked_what_about_which_image_and_what_was_answered(
    mode: str, guarded_folder: Path, make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    images = [jpeg(), encode(np.full((300, 300), 250, np.uint8)), b"no image"]
    service = make_service(model=guarded_folder, audit=mode, audit_folder=tmp_path)
    async with connect(service) as client:
        sent = [("file", (NAME, image)) for image in images]
        answer = (
            await client.post("/predict?operating_point=rule-out", files=sent, headers={"X-Request-ID": "r1"})
        ).json()
        explained = await client.post("/explain", content=images[0], headers=JPEG | {"X-Request-ID": "r2"})
        assert_problem(await client.post("/predict", content=images[2], headers=JPEG), 415)
    lines = kept(tmp_path)
    assert [line["image_sha256"] for line in lines] == [sha256(image) for image in (*images, images[0], images[2])]
    assert [line["route"] for line in lines] == ["/predict"] * 3 + ["/explain", "/predict"]
    assert [line["request_id"] for line in lines[:4]] == ["r1"] * 3 + ["r2"]
    for line, prediction in zip(lines[:2], answer["predictions"][:2], strict=True):
        assert {name: line[name] for name in ("label", "probability", "threshold", "guard_score")} == {
            name: prediction[name] for name in ("label", "probability", "threshold", "guard_score")
        }
        assert line["problem"] is None
    assert lines[1]["warnings"] == ["unlike_training_data"]
    assert [line["problem"] for line in lines[2:]] == ["unsupported-media-type", None, "unsupported-media-type"]
    assert [line["operating_point"] for line in lines] == ["rule-out"] * 3 + ["balanced"] * 2
    assert str(lines[3]["probability"]) == explained.headers["X-Probability"]
    manifest = service.main.bundle.manifest
    for line in lines:
        assert (line["model"], line["version"], line["graph"]) == (manifest.name, manifest.version, "model.int8.onnx")
        assert line["graph_sha256"] == manifest.files["model.int8.onnx"]
        assert line["provider"] == "CPUExecutionProvider"
    assert "Meier" not in "".join(path.read_text() for path in files_of(tmp_path / "1"))


@pytest.mark.anyio
async def test_inferences_are_kept_by_what_was_sent_a_file_or_pixels(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    url = "/v2/models/brightness/infer"
    pixels = np.arange(2 * 200 * 200, dtype=np.uint8).reshape(2, 200, 200, 1)
    tensor = {"name": "image", "shape": [2, 200, 200, 1], "datatype": "UINT8", "data": pixels.ravel().tolist()}
    broken = {"name": "file", "shape": [2], "datatype": "BYTES", "data": ["", base64.b64encode(jpeg()).decode()]}
    async with connect(make_service(audit="required", audit_folder=tmp_path)) as client:
        one = await client.post(url, content=jpeg(), headers={"Inference-Header-Content-Length": "0"})
        two = await client.post(url, json={"inputs": [tensor], "parameters": {"operating_point": "balanced"}})
        none = await client.post(url, json={"inputs": [broken]})
        refused = await client.post(url, json={"inputs": []})
    assert [response.status_code for response in (one, two, none, refused)] == [200, 200, 422, 400]
    lines = kept(tmp_path)
    sent = [jpeg(), pixels[0].tobytes(), pixels[1].tobytes(), b"", jpeg()]
    assert [line["image_sha256"] for line in lines] == [sha256(data) for data in sent]
    assert {line["route"] for line in lines} == {"/v2/models/{name}/infer"}
    answered = {output["name"]: output["data"] for output in two.json()["outputs"]}
    assert [line["probability"] for line in lines[1:3]] == pytest.approx(answered["probability"], abs=1e-6)
    assert [line["problem"] for line in lines[3:]] == ["empty-file"] * 2  # the whole answer was that problem


@pytest.mark.anyio
async def test_the_caller_is_the_name_of_the_key(
    make_service: MakeService, connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, folder = tmp_path / "keys.json", tmp_path / "audit"
    folder.mkdir()
    assert main(["keys", "add", "ward-3", "--keys-file", str(keys)]) == DONE
    key = capsys.readouterr().out.strip()
    statuses = []
    async with connect(make_service(audit="on", audit_folder=folder, keys_file=keys)) as client:
        for shown in (key, "xray_wrong"):
            headers = JPEG | {"Authorization": f"Bearer {shown}"}
            statuses.append((await client.post("/predict", content=jpeg(), headers=headers)).status_code)
    assert statuses == [200, 401]
    assert [line["caller"] for line in kept(folder)] == [
        "ward-3"
    ]  # who is refused leaves no line: he could fill the disk
    assert key not in (folder / "1" / "audit-00000001.jsonl").read_text()


@pytest.mark.anyio
async def test_without_it_nothing_is_written(make_service: MakeService, connect: Connect, tmp_path: Path) -> None:
    async with connect(make_service(audit="off", audit_folder=tmp_path)) as client:
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_a_chain_tells_of_starts_and_stops_and_goes_on(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    for _ in range(2):
        async with connect(make_service(audit="on", audit_folder=tmp_path)) as client:
            await client.post("/predict", content=jpeg(), headers=JPEG)
    (chain,) = chains_of(tmp_path)
    (path,) = files_of(chain)
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in told] == ["started", "read", "stopped"] * 2
    assert told[0]["model"] == "brightness"
    assert verify_chain(chain)[0].unclean == 0


@pytest.mark.anyio
async def test_a_request_that_passes_its_deadline_is_kept_as_such(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend, audit="required", audit_folder=tmp_path, deadline_s=0.2)) as client:
        backend.hold = threading.Event()
        assert_problem(await client.post("/predict", content=jpeg(), headers=JPEG), 504)
        assert_problem(await client.post("/explain", content=jpeg(), headers=JPEG), 504)
        raw = {"Inference-Header-Content-Length": "0"}
        assert (await client.post("/v2/models/brightness/infer", content=jpeg(), headers=raw)).status_code == 504
        backend.hold.set()
    assert [line["problem"] for line in kept(tmp_path)] == ["deadline-exceeded"] * 3


@pytest.mark.anyio
async def test_a_request_that_is_given_up_is_kept_as_such(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend, audit="on", audit_folder=tmp_path)) as client:
        backend.hold = threading.Event()
        before = len(backend.sizes)
        asking = asyncio.create_task(client.post("/predict", content=jpeg(), headers=JPEG))
        await until(lambda: len(backend.sizes) > before)
        asking.cancel()
        backend.hold.set()
        await asyncio.wait([asking])
    assert [line["problem"] for line in kept(tmp_path)] == ["cancelled"]


def metric(text: str, name: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


@pytest.mark.anyio
async def test_a_lost_disk_stops_nothing_if_the_audit_is_not_required(
    make_service: MakeService, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A new file for each line, so that a folder that has been taken away is noticed as a disk would be."""
    folder = tmp_path / "audit"
    folder.mkdir()
    async with connect(make_service(audit="on", audit_folder=folder, audit_max_bytes=1)) as client:
        await client.post("/predict", content=jpeg(), headers=JPEG)
        await until(lambda: len(kept(folder)) == 1)
        folder.rename(tmp_path / "elsewhere")
        for _ in range(5):
            assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
        metrics = (await client.get("/metrics")).text
        assert metric(metrics, "xray_audit_lost_total") >= 1
        assert metric(metrics, "xray_audit_failing") == 1
        assert (await client.get("/health/ready")).status_code == 200
        (tmp_path / "elsewhere").rename(folder)
        await until(lambda: kept(folder, "gap"))
        await client.post("/predict", content=jpeg(), headers=JPEG)
        await until(lambda: len(kept(folder)) == 2)
        lost = metric((await client.get("/metrics")).text, "xray_audit_lost_total")
        assert metric((await client.get("/metrics")).text, "xray_audit_failing") == 0
    (gap,) = kept(folder, "gap")
    assert (lost, gap["lost"]) == (5, 5)
    assert verify_chain(folder / "1")[0].lost == 5
    assert caplog.text.count("the audit cannot be written") == 1
    assert caplog.text.count("the audit is written again") == 1


@pytest.mark.anyio
async def test_a_lost_disk_stops_everything_if_it_is_and_it_begins_again_by_itself(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    backend = FakeBackend()
    async with connect(make_service(backend, audit="required", audit_folder=folder, audit_max_bytes=1)) as client:
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
        folder.rename(tmp_path / "elsewhere")
        for path in ("/predict", "/explain", "/predict"):
            told = await client.post(path, content=jpeg(), headers=JPEG)
            assert_problem(told, 503, "audit-unavailable")
            assert told.headers["Retry-After"] == "1"
        read = len(backend.sizes)
        assert_problem(await client.post("/predict", content=b"no image", headers=JPEG), 503, "audit-unavailable")
        assert len(backend.sizes) == read  # once it is known, no image is read for nothing
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "failing"})
        assert (await client.get("/health/live")).status_code == 200
        (tmp_path / "elsewhere").rename(folder)
        for _ in range(500):
            if (await client.get("/health/ready")).status_code == 200:
                break
            await asyncio.sleep(0.02)
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
    assert [line["label"] is not None for line in kept(folder)] == [True, True]
    assert len(kept(folder, "gap")) == 1


class SlowChain(Chain):
    """A disk that takes its time: from the second write on, until it is let go."""

    go = threading.Event()
    writes: list[int] = []  # noqa: RUF012  one for all, as the disk is

    def append(self, events: Sequence[Event]) -> None:
        """Append, late."""
        self.writes.append(len(events))
        if len(self.writes) > 1:
            self.go.wait(20)
        super().append(events)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[SlowChain]:
    """The service gets the slow disk."""
    monkeypatch.setattr("service.audit.recorder.Chain", SlowChain)
    monkeypatch.setattr(SlowChain, "go", threading.Event())
    monkeypatch.setattr(SlowChain, "writes", [])
    return SlowChain


@pytest.mark.anyio
async def test_all_who_wait_share_a_write_and_the_loop_waits_for_none(
    make_service: MakeService, connect: Connect, tmp_path: Path, slow: type[SlowChain]
) -> None:
    async with connect(make_service(FakeBackend(), audit="required", audit_folder=tmp_path)) as client:
        await until(lambda: slow.writes == [1])
        asking = [asyncio.create_task(client.post("/predict", content=jpeg(n), headers=JPEG)) for n in range(20)]
        await asyncio.sleep(0.5)
        assert (await client.get("/health/ready")).status_code == 200
        assert not any(task.done() for task in asking)  # none is answered before it is on the disk
        slow.go.set()
        assert {(await task).status_code for task in asking} == {200}
    assert len(kept(tmp_path)) == 20
    assert len(slow.writes) < 20


@pytest.mark.anyio
async def test_a_disk_that_hangs_is_taken_for_lost_until_it_moves_again(
    make_service: MakeService, connect: Connect, tmp_path: Path, slow: type[SlowChain], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("audit", "audit_writer"):
        monkeypatch.setattr(f"service.{module}.PATIENCE_S", 0.2)
    service: Service = make_service(FakeBackend(), audit="required", audit_folder=tmp_path)
    async with connect(service) as client:
        await until(lambda: slow.writes == [1])
        for _ in range(2):
            assert_problem(await client.post("/predict", content=jpeg(), headers=JPEG), 503, "audit-unavailable")
        assert (await client.get("/health")).json()["status"] == "failing"
        slow.go.set()
        await until(lambda: service.status == "ok")
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
    assert len(kept(tmp_path)) == 2  # the first was written in the end: an audit may hold more than was answered


@pytest.mark.anyio
async def test_a_disk_that_is_lost_at_the_start_stops_the_start_only_if_it_is_required(
    make_service: MakeService,
    connect: Connect,
    tmp_path: Path,
    bundle_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "audit"
    options = ["--model", str(bundle_folder), "--audit", "required", "--audit-folder", str(folder)]
    assert await asyncio.to_thread(main, ["serve", *options]) == WRONG_USE
    assert "xray-service: XRAY_AUDIT_FOLDER: [Errno 2] No such file or directory" in capfd.readouterr().err
    async with connect(make_service(audit="on", audit_folder=folder)) as client:
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
        folder.mkdir()
        await until(lambda: chains_of(folder) and kept(folder, "gap"))


@pytest.mark.parametrize("mode", ["on", "required"])
def test_an_audit_needs_a_folder(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--audit", mode]) == WRONG_USE
    assert capsys.readouterr().err == f"xray-service: XRAY_AUDIT={mode} requires XRAY_AUDIT_FOLDER\n"


def test_files_that_are_read_without_a_server_are_not_audited(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRAY_AUDIT", "required")
    monkeypatch.setenv("XRAY_AUDIT_FOLDER", str(tmp_path))
    assert main(["predict", str(tmp_path / "nowhere"), "--model", str(bundle_folder)]) == FAILED
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_the_open_inference_protocol_is_audited_too(
    guarded_folder: Path, make_service: MakeService, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = np.full((1, 200, 200, 1), 200, np.uint8)
    file = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(jpeg()).decode()]}
    image = {"name": "image", "datatype": "UINT8", "shape": [1, 200, 200, 1], "data": pixels.ravel().tolist()}
    service = make_service(model=guarded_folder, audit="required", audit_folder=tmp_path)
    with caplog.at_level("INFO"):
        async with connect(service) as client:
            name = service.main.name
            for tensor in (file, image, {**file, "data": [base64.b64encode(b"no image").decode()]}):
                await client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    lines = kept(tmp_path)
    assert [line["image_sha256"] for line in lines] == [sha256(jpeg()), sha256(pixels.tobytes()), sha256(b"no image")]
    assert {line["route"] for line in lines} == {"/v2/models/{name}/infer"}
    assert [line["problem"] for line in lines] == [None, None, "unsupported-media-type"]
    logged = [each.__dict__["model"] for each in caplog.records if each.name == "service.request" and each.images]  # type: ignore[attr-defined]
    assert logged == [f"{name}/1"] * 3
