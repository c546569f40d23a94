"""Recovery after faults: what brings a model back, what does not, and what the service says meanwhile."""

import logging

import httpx
import numpy as np
import pytest

from service.core import Service
from service.errors import DeviceError, NotReady, Overloaded
from service.inference import model, recovery
from service.inference.backend import Backend
from service.inference.batching.scoring import Scored
from service.inference.session import CPU, CUDA
from tests.conftest import Connect, MakeService
from tests.drawings import encode, jpeg
from tests.fakes import FakeBackend
from tests.waiting import until_async

pytestmark = pytest.mark.anyio
JPEG, PNG = {"Content-Type": "image/jpeg"}, {"Content-Type": "image/png"}


class Broken(FakeBackend):
    """A backend on CUDA each of whose calls fails while it ``is_broken``."""

    provider = CUDA

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = False
        self.on_call = self._fail

    def _fail(self) -> None:
        if self.is_broken:
            raise RuntimeError("told to fail")


@pytest.fixture
def backend() -> Broken:
    return Broken()


@pytest.fixture
def service(make_service: MakeService, backend: Broken) -> Service:
    return make_service(backend, device="auto")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_PAUSE_S", 0.01)


async def break_it(client: httpx.AsyncClient, backend: Broken) -> None:
    """Have as many calls fail as make the model not ready."""
    backend.is_broken = True
    for _ in range(model._MAX_FAULTS):
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 500


async def status(client: httpx.AsyncClient) -> int:
    return (await client.get("/health/ready")).status_code


async def test_a_model_that_is_well_again_is_found_without_traffic(
    service: Service, connect: Connect, backend: Broken
) -> None:
    async with connect(service) as client:
        await break_it(client, backend)
        backend.is_broken = False
        await until_async(lambda: service.status == "ok")
        assert await status(client) == 200
    assert not service.must_restart


@pytest.mark.parametrize("error", [Overloaded("the queue is full"), NotReady("stopping"), TimeoutError()])
async def test_an_attempt_that_shows_nothing_rebuilds_nothing(
    service: Service, connect: Connect, backend: Broken, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    attempts, submit = list[Exception](), service.main.batcher.submit

    async def refused(*_: object, **__: object) -> Scored:
        attempts.append(error)
        raise error

    async with connect(service) as client:
        reopened = list[object]()
        monkeypatch.setattr(service.main.recovery, "_reopen", lambda: reopened.append(1))
        monkeypatch.setattr(service.main.batcher, "submit", refused)
        service.main.batcher.scorer.faults = model._MAX_FAULTS
        assert await status(client) == 503
        await until_async(lambda: len(attempts) > recovery._MAX_ATTEMPTS)
        assert not reopened
        assert not service.must_restart
        monkeypatch.setattr(service.main.batcher, "submit", submit)
        await until_async(lambda: service.status == "ok")


async def test_images_that_make_calls_fail_do_not_cost_the_session(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FakeBackend()
    service = make_service(backend)
    async with connect(service) as client:
        backend.invalid = 77
        for _ in range(model._MAX_FAULTS):
            await client.post("/predict", content=encode(np.full((300, 300), 77, np.uint8), "PNG"), headers=PNG)
        await until_async(lambda: service.status == "ok")
        assert service.main.backend.current is backend


async def test_a_lost_gpu_is_replaced_by_a_session_on_the_cpu_which_it_says(
    service: Service,
    connect: Connect,
    backend: Broken,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connect(service) as client:
        caplog.set_level(logging.INFO)
        reopened = list[Backend]()

        def reopen() -> Backend:
            reopened.append(FakeBackend())
            return reopened[-1]

        monkeypatch.setattr(service.main.recovery, "_reopen", reopen)
        assert (await client.get("/health")).json()["provider"] == CUDA
        await break_it(client, backend)
        await until_async(lambda: service.status == "ok")
        answer = await client.post("/predict", content=jpeg(), headers=JPEG)
        assert answer.json()["provider"] == CPU
        assert (await client.get("/health")).json()["provider"] == CPU
        described = [line for line in (await client.get("/metrics")).text.splitlines() if "xray_model_info{" in line]
    assert len(described) == 1
    assert f'provider="{CPU}"' in described[0]
    assert len(reopened) == 1
    assert "the model works again" in caplog.text


async def test_a_model_that_no_session_helps_needs_another_process(
    service: Service,
    connect: Connect,
    backend: Broken,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def reopen() -> Backend:
        raise DeviceError("XRAY_DEVICE=cuda, but the model does not run on CUDA here")

    async with connect(service) as client:
        monkeypatch.setattr(service.main.recovery, "_reopen", reopen)
        await break_it(client, backend)
        assert not service.must_restart
        await until_async(lambda: service.must_restart)
        assert service.status == "failing"
        assert (await client.get("/health")).json()["provider"] == CUDA  # what it was, and what it tries to be again
    assert caplog.text.count("cannot be rebuilt") >= recovery._MAX_ATTEMPTS


async def test_the_service_itself_reopens_its_bundle(make_service: MakeService, connect: Connect) -> None:
    service = make_service()
    async with connect(service) as client:
        before = service.main.backend.current
        service.main.backend.replace(broken := Broken())
        await break_it(client, broken)
        await until_async(lambda: service.status == "ok")
        assert service.main.backend.current not in (before, broken)
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
