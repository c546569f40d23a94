"""Health, readiness, model and metrics endpoints, and when probes fail."""

import asyncio
import logging
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.http import explain
from service.inference.decoding import decoder
from service.inference.threads import calls
from service.wire import VERSION
from tests.bundles import INT8_FULL
from tests.conftest import Connect, MakeService
from tests.drawings import encode, jpeg
from tests.fakes import FakeBackend
from tests.problems import assert_problem
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio
JPEG = {"Content-Type": "image/jpeg"}


async def test_health_names_model_and_provider(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        answer = await client.get("/health")
        probes = [(await client.get(f"/health/{probe}")).status_code for probe in ("live", "ready")]
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "model": {"name": "brightness", "version": "1"},
        "provider": "CPUExecutionProvider",
        "device_requested": "cpu",
        "graph": "model.onnx",
        "precision": "float32",
        "version": VERSION,
    }
    assert probes == [200, 200]


@pytest.mark.parametrize("precision", ["int8", "float32"])
async def test_health_model_metrics_and_log_name_the_graph_in_use(
    choosy_folder: Path, make_service: MakeService, connect: Connect, caplog: pytest.LogCaptureFixture, precision: str
) -> None:
    caplog.set_level(logging.INFO)
    graph = {"int8": "model.int8.onnx", "float32": "model.onnx"}[precision]
    async with connect(make_service(model=choosy_folder, precision=precision)) as client:
        health = (await client.get("/health")).json()
        model = (await client.get("/model")).json()
        metrics = (await client.get("/metrics")).text
        white = encode(np.full((200, 200), 255, np.uint8), "PNG")
        answer = (await client.post("/predict", content=white, headers={"Content-Type": "image/png"})).json()
    assert (health["graph"], health["precision"], model["graph"]) == (graph, precision, graph)
    assert f'graph="{graph}"' in metrics
    assert next(record for record in caplog.records if record.message == "ready").graph == graph  # type: ignore[attr-defined]
    full = INT8_FULL if precision == "int8" else 255
    assert answer["predictions"][0]["probability"] == pytest.approx(255 / full, abs=1e-4)


@pytest.mark.parametrize(("calls", "sizes"), [({}, {1}), ({"parallel_runs": 1}, {1, 4})], ids=["single", "batches"])
async def test_it_is_not_ready_before_the_model_is_warm(
    make_service: MakeService, calls: dict[str, int], sizes: set[int]
) -> None:
    """It is warm once it has scored an image alone, and a full batch where batches are the rule."""
    backend = FakeBackend()
    backend.hold = threading.Event()
    service = make_service(backend, **calls)
    async with service.running():
        await until_async(lambda: backend.sizes)
        assert service.status == "starting"
        assert service.main.is_live
        backend.hold.set()
        await until_async(lambda: service.status == "ok")
    assert backend.sizes[0] == 1
    assert set(backend.sizes) == sizes


async def test_a_failed_warm_up_leaves_the_service_not_ready(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    backend = FakeBackend()
    backend.fails = 0  # the warm-up's image is black
    service = make_service(backend)
    async with service.running():
        await until_async(lambda: "the warm-up failed" in caplog.text)
        assert service.status == "starting"


async def test_draining_rejects_new_requests_and_completes_those_in_flight(
    make_service: MakeService, connect: Connect
) -> None:
    backend = FakeBackend()
    service = make_service(backend)
    async with connect(service) as client:
        backend.hold = threading.Event()
        in_flight = asyncio.create_task(client.post("/predict", content=jpeg(), headers=JPEG))
        await until_async(lambda: service.admission.images_in_flight == 1)
        service.admission.close()
        for path in ("/health", "/health/ready"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["status"]) == (503, "draining")
        assert (await client.get("/health/live")).status_code == 200
        refused = await client.post("/predict", content=jpeg(), headers=JPEG)
        assert_problem(refused, 503, "not-ready")
        assert "retry-after" in refused.headers
        backend.hold.set()
        assert (await in_flight).status_code == 200


async def test_probes_fail_after_the_batcher_died(make_service: MakeService, connect: Connect) -> None:
    service = make_service()
    async with connect(service) as client:
        assert service.main._task is not None
        service.main._task.cancel()
        await asyncio.wait([service.main._task])
        assert (await client.get("/health/live")).status_code == 503
        assert (await client.get("/health/ready")).status_code == 503
        assert_problem(await client.post("/predict", content=jpeg(), headers=JPEG), 503, "not-ready")


@pytest.mark.parametrize("hanging", [("/predict", decoder, "decode"), ("/explain", explain, "draw")])
async def test_probes_fail_while_a_decoder_or_a_drawing_hangs(
    hanging: tuple[str, ModuleType, str], make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, module, function = hanging
    service, now, hangs, released = make_service(), 0.0, threading.Event(), threading.Event()
    work = vars(module)[function]
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: now))

    def hang(*arguments: Any, **options: Any) -> Any:
        hangs.set()
        released.wait(DEADLINE_S)
        return work(*arguments, **options)

    async def probes() -> list[int]:
        return [(await client.get(f"/health/{probe}")).status_code for probe in ("ready", "live")]

    async with connect(service) as client:
        monkeypatch.setattr(module, function, hang)
        request = asyncio.create_task(client.post(path, content=jpeg(), headers=JPEG))
        await until_async(hangs.is_set)
        for deadlines, expected in ((1, [200, 200]), (3, [503, 200]), (6, [503, 503])):
            now = deadlines * service.settings.deadline_s
            assert await probes() == expected
            assert not service.must_restart
        now += 1
        assert service.must_restart
        released.set()
        assert (await request).status_code == 200
        assert await probes() == [200, 200]
        assert not service.must_restart


async def test_the_model_and_its_card_are_public(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        manifest = (await client.get("/model")).json()
        card = await client.get("/model/card")
    assert manifest["name"] == "brightness"
    assert "balanced" in manifest["operating_points"]
    assert "provenance" not in manifest
    assert (manifest["graph"], manifest["operating_point"]) == ("model.onnx", "balanced")
    assert card.headers["content-type"].startswith("text/markdown")
    assert card.text.startswith("# brightness")


async def test_metrics_have_the_provider_and_the_stages(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        for _ in range(3):
            await client.post("/predict", content=jpeg(), headers=JPEG)
        await client.get("/no/such/path")
        text = (await client.get("/metrics")).text
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["xray_requests_total", (("route", "/predict"), ("status", "200"))] == 3
    assert samples["xray_requests_total", (("route", "unmatched"), ("status", "404"))] == 1
    assert samples["xray_batches_total", ()] >= 3
    assert samples["xray_queue_depth", ()] == 0
    assert samples["xray_seats_taken", ()] == 0
    assert samples["xray_ready", ()] == 1
    for stage in ("decode", "queue", "inference"):
        assert samples["xray_stage_seconds_count", (("stage", stage),)] == 3
    model = next(labels for name, labels in samples if name == "xray_model_info")
    assert dict(model)["provider"] == "CPUExecutionProvider"


async def test_the_docs_work_without_internet(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        page = await client.get("/docs")
        assert "https://" not in page.text
        assets = [part.split('"')[0] for part in page.text.replace("'", '"').split('"') if part.startswith("/static")]
        assert len(assets) >= 3
        for asset in assets:
            assert (await client.get(asset)).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/predict", "/nope", "/docs"])
async def test_every_answer_has_its_headers(make_service: MakeService, connect: Connect, path: str) -> None:
    async with connect(make_service()) as client:
        headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"]
