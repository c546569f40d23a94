"""Fixtures that the tests of several packages use."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import pytest

from contract.bundle import INT8_GRAPH
from service.cli.commands import build_service
from service.core import Service
from service.inference.backend import Backend
from service.inference.loading.bundles import read_main
from service.settings import Settings
from service.telemetry.logs import close_logging
from service.workers.app import create_app
from tests import ROOT
from tests.bundles import GUARD, INT8_FULL, POINTS, brightness_graph, write_brightness_bundle
from tests.disks import write_timeout
from tests.distribution import FilesTogether, longest_first
from tests.waiting import DEADLINE_S, until_async

if TYPE_CHECKING:
    from tests.trained import Trained

# No deadline per example: its duration depends on the load of the machine.
_TIMELESS: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
# The same examples each time, so that a test fails for a change, never by chance; others: --hypothesis-profile explore
hypothesis.settings.register_profile("repeatable", derandomize=True, **_TIMELESS)
hypothesis.settings.register_profile("explore", max_examples=2000, print_blob=True, **_TIMELESS)
hypothesis.settings.load_profile("repeatable")


# Threads of OpenMP spin while they wait for each other: beside other work, two of scikit-learn's take 30 times the CPU
# time of one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # threads of one that wait for each other take the CPU of the other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """The tests of a file run in one process, with the servers they share; so do all tests of the trained network."""
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first."""
    longest_first(items)


def pytest_collection_finish() -> None:
    """What is imported by now stays. With TensorFlow, each full collection would look at it for half a second."""
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("XRAY_") and name != "XRAY_DATA"]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """A command configures logging for its whole process, which is also that of all other tests."""
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    root.setLevel(logging.WARNING)  # a fixture of the module may have run a command before
    before, level = (root.handlers[:], access.disabled), root.level
    yield
    close_logging()
    root.handlers[:], access.disabled = before
    root.setLevel(level)  # this clears the loggers' caches of enabled levels
    logging.captureWarnings(False)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where tests run in the background, SIGINT is ignored, and the processes they start would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose probability is the mean brightness."""
    return write_brightness_bundle(tmp_path_factory.mktemp("models") / "brightness" / "1")


@pytest.fixture(scope="session")
def choosy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with three operating points and an int8 graph, which a CPU runs only if configured to."""
    folder = tmp_path_factory.mktemp("models") / "choosy" / "1"
    return write_brightness_bundle(folder, int8_graph=brightness_graph(full=INT8_FULL), operating_points=POINTS)


@pytest.fixture(scope="session")
def guarded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with all optional parts: a guard, three operating points and an int8 graph, which a CPU runs."""
    folder = tmp_path_factory.mktemp("models") / "guarded" / "1"
    graphs = [brightness_graph(features=2), brightness_graph(features=2, full=INT8_FULL)]
    return write_brightness_bundle(folder, *graphs, operating_points=POINTS, input_guard=GUARD, cpu_graph=INT8_GRAPH)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs; tests that need it are skipped if it is missing."""
    folder = Path(os.environ.get("XRAY_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "chest_xray").is_dir():
        pytest.skip("no real radiographs: set XRAY_DATA to the folder that holds chest_xray/")
    return folder


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are not tried out in another process before they are loaded, which takes half a second each time."""

    async def nothing(*_: object) -> None: ...

    for module in ("loading.graphs", "repository"):
        monkeypatch.setattr(f"service.inference.{module}.try_bundle", nothing)


MakeService = Callable[..., Service]


def change_settings(service: Service, **settings: object) -> None:
    """Change a running service's settings, for example to a short deadline for one request. No user can do this."""
    service.settings = service.settings.model_copy(update=settings)


Connect = Callable[[Service], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def make_service(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> MakeService:
    """Makes services of the brightness bundle with the given settings; another bundle or backend can be given."""
    write_timeout(DEADLINE_S, monkeypatch)  # a busy disk must not cause a 503

    def make(backend: Backend | None = None, **changes: object) -> Service:
        fixed = {"model": bundle_folder, "device": "cpu", "threads": 1, "decode_threads": 2}
        fixed |= {"deadline_s": DEADLINE_S, "upload_s": DEADLINE_S}  # a busy machine must not cause a 504 or a 408
        settings = Settings(**fixed | changes)  # type: ignore[arg-type]
        return Service(settings, read_main(settings), backend) if backend else build_service(settings)

    return make


async def _documented(response: httpx.Response) -> None:
    """Every response is one that the OpenAPI document lists."""
    from tests.openapi import assert_documented

    await response.aread()
    assert_documented(response)
    await asyncio.sleep(0)  # an in-process call may let no other task run; a call over a socket always does


@pytest.fixture
def connect() -> Connect:
    """Makes a client of a service in this process, once the service is ready."""

    @asynccontextmanager
    async def connected(service: Service) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(service)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=transport, base_url="http://x", event_hooks={"response": [_documented]}
            ) as client,
        ):
            await until_async(lambda: service.status != "starting")
            yield client

    return connected


@pytest.fixture(scope="session")
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Trained":
    """A network that was really trained, on drawn radiographs, in this run or in an earlier one of the same code."""
    from tests.trained import cached_training  # TensorFlow comes with it: most tests do without

    kept: pytest.Cache | None = getattr(request.config, "cache", None)  # none with -p no:cacheprovider
    return cached_training(kept.mkdir("trained") if kept else tmp_path_factory.mktemp("trained"))
