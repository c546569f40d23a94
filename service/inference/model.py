"""One model that is served: its bundle, its session, its queue and who reads with it; and its life."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.bundle import Bundle, read_bundle
from service.inference.backend import Backend, OnnxBackend
from service.inference.batcher import Batcher, Limits
from service.inference.cpus import Calls, share_of_cpus, share_out
from service.inference.guard import choose_guard
from service.inference.points import default_point
from service.inference.pool import Pool
from service.inference.reader import Reader, Rules
from service.inference.session import CPU, cuda_of, max_batch_of, open_session
from service.settings import Settings
from service.telemetry.metrics import Metrics

# So many model calls in a row that failed, and a model is no longer ready.
_MAX_FAULTS = 3
# A graph that is larger finds no room in a CPU's cache, and is read from memory for each call.
_CACHED_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Shared:
    """What all models of a service have in common. ``pool``: the threads that compute; ``is_alone``: whether there
    is at most one image inside.
    """

    settings: Settings
    pool: Pool
    metrics: Metrics
    is_alone: Callable[[], bool]


class Model:
    """A model, built and not yet running.

    Args:
        shared: among them the settings, which hold for every model.
        bundle: the model, checked.
        backend: the same model, loaded.
        main: whether this is the model that the service is started with. The metrics of guard and labels tell of that
            one alone: two models in one distribution would look like a drift.

    Raises:
        SettingsError: the bundle cannot do what the settings ask for.
    """

    def __init__(self, shared: Shared, bundle: Bundle, backend: Backend, *, main: bool) -> None:
        settings, metrics = shared.settings, shared.metrics
        self.bundle, self.backend = bundle, backend
        self.main = main
        self.name, self.version = bundle.manifest.name, bundle.manifest.version
        self.default_point = default_point(bundle.manifest, settings.operating_point)
        self.guard = choose_guard(bundle.manifest, settings.guard)
        max_batch = max_batch_of(settings, backend.provider)
        # Calls wait for each other on a GPU: side by side they would only hold more memory.
        runs = _calls(settings, bundle).runs if backend.provider == CPU else 1
        self.batcher = Batcher(
            backend,
            Limits(max_batch, settings.capacity, runs),
            on_batch=metrics.batch_done,
            executor=shared.pool.model if backend.provider == CPU else None,
            is_alone=shared.is_alone,
        )
        self._warm = min(runs * max_batch, settings.capacity)
        rules = Rules(settings.max_pixels, bundle.manifest.image_contract)
        self.reader = Reader(self.batcher, shared.pool.decoders, self.guard, metrics, rules, counts=main)
        self._task: asyncio.Task[None] | None = None
        self._users, self._unused = 0, asyncio.Event()
        self._unused.set()

    @property
    def is_live(self) -> bool:
        """False once its batcher has ended."""
        return self._task is None or not self._task.done()

    @property
    def is_sound(self) -> bool:
        """Whether an image that came now would be read."""
        return self.is_live and self.batcher.faults < _MAX_FAULTS

    def start(self) -> None:
        """Run the batcher."""
        self._task = asyncio.create_task(self.batcher.run(), name=f"batcher {self.name}/{self.version}")

    async def warm_up(self) -> None:
        """Go the way of a request with a blank image, alone and as largest batches: nobody pays for a first time.

        Raises:
            ServiceError: the model failed.
        """
        await self.reader.warm_up(self._warm)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep it from being unloaded, for as long as the context lasts."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def end(self) -> None:
        """End the batcher, at once; whoever waits for an answer is told so."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def drain(self) -> None:
        """Wait until nobody uses it, which takes no longer than a request may; then end it."""
        try:
            await self._unused.wait()
        finally:
            await self.end()


def open_backend(settings: Settings, bundle: Bundle) -> OnnxBackend:
    """Load the graph of a bundle that the settings ask for.

    Raises:
        BundleError, DeviceError, SettingsError: it cannot be had.
    """
    # Before the model is loaded: what is refused is refused at once, in one line.
    default_point(bundle.manifest, settings.operating_point)
    guard = choose_guard(bundle.manifest, settings.guard)
    live = open_session(bundle, settings.device, settings.precision, _calls(settings, bundle), cuda_of(settings))
    return OnnxBackend(bundle, live, guarded=guard.mode != "off")


def _calls(settings: Settings, bundle: Bundle) -> Calls:
    cpus, large = share_of_cpus(settings.workers), len(bundle.graph) > _CACHED_BYTES
    return share_out(cpus, settings.parallel_runs, settings.threads, batches_pay=large)


def open_model(shared: Shared, folder: Path) -> Model:
    """Read a bundle, check all of it and load it, beside the main model.

    Raises:
        BundleError, DeviceError, SettingsError: it cannot be served.
    """
    bundle = read_bundle(folder)
    return Model(shared, bundle, open_backend(shared.settings, bundle), main=False)
