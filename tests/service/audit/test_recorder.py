"""The audit log of a service: what it records, and what happens when it cannot be written."""

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
from tests.disks import write_timeout
from tests.drawings import encode, jpeg
from tests.fakes import FakeBackend
from tests.problems import assert_problem
from tests.waiting import DEADLINE_S, until_async

JPEG = {"Content-Type": "image/jpeg"}
NAME = "Meier, Anna 1971-03-04.jpeg"


def recorded(folder: Path, event: str = "read") -> list[dict[str, Any]]:
    """The events of this kind in all chains, which must be intact."""
    assert [verdict for chain in chains_of(folder) if (verdict := verify_chain(chain)[0]).fault] == []
    paths = [path for chain in chains_of(folder) for path in files_of(chain)]
    events = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [fields for fields in events if fields["event"] == event]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["on", "required"])
async def test_caller_image_model_and_answer_are_recorded(
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
    lines = recorded(tmp_path)
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
async def test_inferences_are_recorded_by_the_digest_of_the_file_or_pixels(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    url = "/v2/models/brightness/infer"
    pixels = np.arange(2 * 200 * 200, dtype=np.uint8).reshape(2, 200, 200, 1)
    tensor = {"name": "image", "shape": [2, 200, 200, 1], "datatype": "UINT8", "data": pixels.ravel().tolist()}
    broken = {"name": "file", "shape": [2], "datatype": "BYTES", "data": ["", base64.b64encode(jpeg()).decode()]}
    async with connect(make_service(audit="required", audit_folder=tmp_path)) as client:
        one = await client.post(url, content=jpeg(), headers={"Inference-Header-Content-Length": "0"})
        two = await client.post(url, json={"inputs": [tensor], "parameters": {"operating_point": "balanced"}})
        failed = await client.post(url, json={"inputs": [broken]})
        invalid = await client.post(url, json={"inputs": []})
    assert [response.status_code for response in (one, two, failed, invalid)] == [200, 200, 422, 400]
    lines = recorded(tmp_path)
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
        for sent in (key, "xray_wrong"):
            headers = JPEG | {"Authorization": f"Bearer {sent}"}
            statuses.append((await client.post("/predict", content=jpeg(), headers=headers)).status_code)
    assert statuses == [200, 401]
    assert [line["caller"] for line in recorded(folder)] == [
        "ward-3"
    ]  # a rejected request leaves no line: otherwise any client could fill the disk
    assert key not in (folder / "1" / "audit-00000001.jsonl").read_text()


@pytest.mark.anyio
async def test_nothing_is_written_when_off(make_service: MakeService, connect: Connect, tmp_path: Path) -> None:
    async with connect(make_service(audit="off", audit_folder=tmp_path)) as client:
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_a_chain_records_starts_and_stops_and_goes_on(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    for _ in range(2):
        async with connect(make_service(audit="on", audit_folder=tmp_path)) as client:
            await client.post("/predict", content=jpeg(), headers=JPEG)
    (chain,) = chains_of(tmp_path)
    (path,) = files_of(chain)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["started", "read", "stopped"] * 2
    assert events[0]["model"] == "brightness"
    assert verify_chain(chain)[0].unclean == 0


@pytest.mark.anyio
async def test_a_request_that_exceeds_its_deadline_is_recorded(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend, audit="required", audit_folder=tmp_path, deadline_s=1)) as client:
        backend.hold = threading.Event()
        assert_problem(await client.post("/predict", content=jpeg(), headers=JPEG), 504)
        assert_problem(await client.post("/explain", content=jpeg(), headers=JPEG), 504)
        raw = {"Inference-Header-Content-Length": "0"}
        assert (await client.post("/v2/models/brightness/infer", content=jpeg(), headers=raw)).status_code == 504
        backend.hold.set()
    assert [line["problem"] for line in recorded(tmp_path)] == ["deadline-exceeded"] * 3


@pytest.mark.anyio
async def test_a_cancelled_request_is_recorded(make_service: MakeService, connect: Connect, tmp_path: Path) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend, audit="on", audit_folder=tmp_path)) as client:
        backend.hold = threading.Event()
        before = len(backend.sizes)
        request = asyncio.create_task(client.post("/predict", content=jpeg(), headers=JPEG))
        await until_async(lambda: len(backend.sizes) > before)
        request.cancel()
        backend.hold.set()
        await asyncio.wait([request])
    assert [line["problem"] for line in recorded(tmp_path)] == ["cancelled"]


def metric(text: str, name: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


@pytest.mark.anyio
async def test_a_failed_disk_does_not_stop_the_service_if_the_audit_log_is_not_required(
    make_service: MakeService, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    """Starts a new file for each line, so that moving the folder away acts like a failed disk."""
    folder = tmp_path / "audit"
    folder.mkdir()
    async with connect(make_service(audit="on", audit_folder=folder, audit_max_bytes=1)) as client:
        await client.post("/predict", content=jpeg(), headers=JPEG)
        await until_async(lambda: len(recorded(folder)) == 1)
        folder.rename(tmp_path / "elsewhere")
        for _ in range(5):
            assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200

        async def all_lost() -> bool:
            return metric((await client.get("/metrics")).text, "xray_audit_lost_total") == 5

        await until_async(all_lost)
        assert metric((await client.get("/metrics")).text, "xray_audit_failing") == 1
        assert (await client.get("/health/ready")).status_code == 200
        (tmp_path / "elsewhere").rename(folder)
        await until_async(lambda: recorded(folder, "gap"))
        await client.post("/predict", content=jpeg(), headers=JPEG)
        await until_async(lambda: len(recorded(folder)) == 2)
        lost = metric((await client.get("/metrics")).text, "xray_audit_lost_total")
        assert metric((await client.get("/metrics")).text, "xray_audit_failing") == 0
    (gap,) = recorded(folder, "gap")
    assert (lost, gap["lost"]) == (5, 5)
    assert verify_chain(folder / "1")[0].lost == 5
    assert caplog.text.count("cannot write the audit log") == 1
    assert caplog.text.count("audit log writing resumed") == 1


@pytest.mark.anyio
async def test_a_failed_disk_stops_the_service_if_the_audit_log_is_required_until_it_is_back(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    backend = FakeBackend()
    service: Service = make_service(backend, audit="required", audit_folder=folder, audit_max_bytes=1)
    async with connect(service) as client:
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
        folder.rename(tmp_path / "elsewhere")
        for path in ("/predict", "/explain", "/predict"):
            rejected = await client.post(path, content=jpeg(), headers=JPEG)
            assert_problem(rejected, 503, "audit-unavailable")
            assert rejected.headers["Retry-After"] == "1"
        calls = len(backend.sizes)
        assert_problem(await client.post("/predict", content=b"no image", headers=JPEG), 503, "audit-unavailable")
        assert len(backend.sizes) == calls  # once the failure is known, no image is analysed in vain
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"status": "failing"})
        assert (await client.get("/health/live")).status_code == 200
        (tmp_path / "elsewhere").rename(folder)
        await until_async(lambda: service.status == "ok")
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
    assert [line["label"] is not None for line in recorded(folder)] == [True, True]
    assert len(recorded(folder, "gap")) == 1


class SlowChain(Chain):
    """A disk that hangs from the second write on, until ``go`` is set."""

    go = threading.Event()
    writes: list[int] = []  # noqa: RUF012  shared by all chains, as a disk is

    def append(self, events: Sequence[Event]) -> None:
        """Append once ``go`` is set."""
        self.writes.append(len(events))
        if len(self.writes) > 1:
            self.go.wait(DEADLINE_S)
        super().append(events)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[SlowChain]:
    """Makes the service use the slow disk."""
    monkeypatch.setattr("service.audit.recorder.Chain", SlowChain)
    monkeypatch.setattr(SlowChain, "go", threading.Event())
    monkeypatch.setattr(SlowChain, "writes", [])
    return SlowChain


@pytest.mark.anyio
async def test_waiting_requests_share_a_write_and_the_event_loop_is_not_blocked(
    make_service: MakeService, connect: Connect, tmp_path: Path, slow: type[SlowChain], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend, audit="required", audit_folder=tmp_path)) as client:
        await until_async(lambda: slow.writes == [1])
        before = sum(backend.sizes)
        requests = [asyncio.create_task(client.post("/predict", content=jpeg(n), headers=JPEG)) for n in range(20)]
        await until_async(lambda: sum(backend.sizes) == before + 20)
        assert (await client.get("/health/ready")).status_code == 200
        assert not any(task.done() for task in requests)  # none is answered before its line is on the disk
        slow.go.set()
        assert {(await task).status_code for task in requests} == {200}
    assert len(recorded(tmp_path)) == 20
    assert len(slow.writes) < 20


@pytest.mark.anyio
async def test_a_hanging_disk_counts_as_failed_until_its_write_ends(
    make_service: MakeService, connect: Connect, tmp_path: Path, slow: type[SlowChain], monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Service = make_service(FakeBackend(), audit="required", audit_folder=tmp_path)
    async with connect(service) as client:
        await until_async(lambda: slow.writes == [1])
        write_timeout(0.2, monkeypatch)
        assert_problem(await client.post("/predict", content=jpeg(), headers=JPEG), 503, "audit-unavailable")
        await until_async(lambda: service.status == "failing")
        assert_problem(await client.post("/predict", content=jpeg(), headers=JPEG), 503, "audit-unavailable")
        assert (await client.get("/health")).json()["status"] == "failing"
        write_timeout(DEADLINE_S, monkeypatch)
        slow.go.set()
        await until_async(lambda: service.status == "ok")
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
    assert len(recorded(tmp_path)) == 2  # the first was written after all: an audit log may hold more than was answered


@pytest.mark.anyio
async def test_a_failed_disk_prevents_the_start_only_if_the_audit_log_is_required(
    make_service: MakeService,
    connect: Connect,
    tmp_path: Path,
    bundle_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "audit"
    options = ["--port", "0", "--model", str(bundle_folder), "--audit", "required", "--audit-folder", str(folder)]
    assert await asyncio.to_thread(main, ["serve", *options]) == WRONG_USE
    assert "xray-service: XRAY_AUDIT_FOLDER: [Errno 2] No such file or directory" in capfd.readouterr().err
    async with connect(make_service(audit="on", audit_folder=folder)) as client:
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
        folder.mkdir()
        await until_async(lambda: chains_of(folder) and recorded(folder, "gap"))


@pytest.mark.parametrize("mode", ["on", "required"])
def test_an_audit_log_requires_a_folder(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--audit", mode]) == WRONG_USE
    assert capsys.readouterr().err == f"xray-service: XRAY_AUDIT={mode} requires XRAY_AUDIT_FOLDER\n"


def test_files_analysed_without_a_server_are_not_audited(
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
    lines = recorded(tmp_path)
    assert [line["image_sha256"] for line in lines] == [sha256(jpeg()), sha256(pixels.tobytes()), sha256(b"no image")]
    assert {line["route"] for line in lines} == {"/v2/models/{name}/infer"}
    assert [line["problem"] for line in lines] == [None, None, "unsupported-media-type"]
    records = [record.__dict__ for record in caplog.records if record.name == "service.request"]
    logged = [record["model"] for record in records if record["images"]]
    assert logged == [f"{name}/1"] * 3
