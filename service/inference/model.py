"""One served model: its bundle, backend, queue and reader; and its life cycle."""

import asyncio
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from contract.bundle import Bundle
from service.inference.backend import Backend
from service.inference.batching.batcher import Batcher, Limits
from service.inference.decoding.decoder import Decoder
from service.inference.guard import choose_guard
from service.inference.loading.graphs import call_plan, open_backend
from service.inference.points import Point, default_point, find_point, point_for_age, rules_of
from service.inference.reader import Reader
from service.inference.recovery import Recovery, SupervisedBackend
from service.inference.session import CPU, max_batch_of
from service.inference.threads.calls import RunningCalls
from service.inference.threads.pool import Pool
from service.settings import Settings
from service.telemetry.metrics import Metrics

# After this many failed batches in a row, a model is not ready.
_MAX_FAULTS = 3


@dataclass(frozen=True, slots=True)
class SharedResources:
    """What all models of a service share. ``pool``: the compute threads; ``is_alone``: whether at most one image is in
    flight; ``calls``: the calls of models and decoders that are running.
    """

    settings: Settings
    pool: Pool
    decoder: Decoder
    metrics: Metrics
    is_alone: Callable[[], bool]
    calls: RunningCalls


class Model:
    """A model, constructed but not started.

    Args:
        shared: settings, threads and metrics, which all models share.
        bundle: the verified model bundle.
        backend: the same model, loaded.
        main: whether this is the served model, or was until another replaced it. Only this one counts in the metrics
            of labels, guard and drift: two models in one distribution would look like a drift.

    Raises:
        SettingsError: the bundle does not support what the settings require.
    """

    def __init__(self, shared: SharedResources, bundle: Bundle, backend: Backend, *, main: bool) -> None:
        settings, metrics, manifest = shared.settings, shared.metrics, bundle.manifest
        # Weak, so that no reference cycle keeps a model in memory that is no longer served.
        describe = weakref.WeakMethod(self.describe)
        self.bundle, self.backend = bundle, SupervisedBackend(backend, shared.calls, describe)
        self.main, self.name, self.version = main, manifest.name, manifest.version
        default = default_point(manifest, settings.operating_point, settings.population)
        self.default_point = replace(default, by_age=True)
        self.guard = choose_guard(manifest, settings.guard)
        max_batch, on_cpu = max_batch_of(settings, backend.provider), backend.provider == CPU
        # Calls are serialised on a GPU: concurrent ones would only hold more memory.
        runs = call_plan(settings, bundle).runs if on_cpu else 1
        self.batcher = Batcher(
            self.backend,
            Limits(max_batch, settings.capacity, runs),
            on_batch=metrics.batch_done,
            executor=shared.pool.model if on_cpu else None,
            is_alone=shared.is_alone,
        )
        self._warm_up_images = min(runs * max_batch, settings.capacity)
        at_once = on_cpu and runs >= shared.pool.size  # each compute thread may call the model
        rules = rules_of(settings, manifest)
        self.reader = Reader(self.batcher, shared.decoder, self.guard, metrics, rules, counts=main, at_once=at_once)
        self.recovery = Recovery(
            self.batcher,
            self.backend,
            partial(open_backend, settings, bundle, tried=True),
            faults=_MAX_FAULTS,
            deadline_s=settings.deadline_s,
        )
        self._describe = partial(metrics.set_model_info, device_requested=settings.device)
        self._task: asyncio.Task[None] | None = None
        self._recovery_task: asyncio.Task[None] | None = None
        self._requests, self._idle = 0, asyncio.Event()
        self._idle.set()

    def find_point(self, name: str | None, population: str | None) -> Point:
        """The operating point of a request.

        Args:
            name: of the operating point; None: the default.
            population: "unknown", or a name of the manifest's; None: the default.

        Raises:
            UnknownOperatingPoint, UnknownPopulation: the model has none of this name.
        """
        default = self.default_point
        if name is None and population is None:
            return default
        found = find_point(
            self.bundle.manifest,
            default.name if name is None else name,
            default.population if population is None else population,
        )
        return replace(found, by_age=population is None)

    def point_for_age(self, point: Point, age: float | None) -> Point:
        """The operating point of an image: that of its request, for the population of the patient's age if the request
        states none.

        Args:
            point: of the request.
            age: in years; None: not known.
        """
        return point_for_age(self.bundle.manifest, point, age)

    @property
    def graph_sha256(self) -> str:
        """Hexadecimal SHA-256 of the graph in use."""
        return self.bundle.manifest.files[self.backend.graph]

    @property
    def is_live(self) -> bool:
        """False once the batcher has stopped."""
        return self._task is None or not self._task.done()

    @property
    def has_failed(self) -> bool:
        """Whether the batcher has failed; not after ``stop``."""
        return self._task is not None and self._task.done() and not self._task.cancelled()

    @property
    def is_healthy(self) -> bool:
        """Whether the batcher runs, and fewer than three batches in a row have failed."""
        return self.is_live and self.batcher.scorer.faults < _MAX_FAULTS

    def describe(self) -> None:
        """Name the model, its graph and its execution provider in the metrics, if it is the served one."""
        if self.reader.counts:
            self._describe(
                name=self.name, version=self.version, graph=self.backend.graph, provider=self.backend.provider
            )

    def start(self) -> None:
        """Start the batcher, and the recovery after faults."""
        self._task = asyncio.create_task(self.batcher.run(), name=f"batcher {self.name}/{self.version}")
        self._recovery_task = asyncio.create_task(self.recovery.run(), name=f"recovery {self.name}/{self.version}")

    async def warm_up(self) -> None:
        """Analyse blank images, one alone and then full batches, so that the first request is not slower than others.

        Raises:
            ServiceError: the model failed.
        """
        await self.reader.warm_up(self._warm_up_images)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the model loaded for as long as the context lasts."""
        self._requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()

    async def stop(self) -> None:
        """Stop the batcher at once. Pending requests fail with NotReady."""
        if tasks := [task for task in (self._recovery_task, self._task) if task]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def drain(self) -> None:
        """Wait until no request uses the model, which the deadline of a request bounds; then stop it."""
        try:
            await self._idle.wait()
        finally:
            await self.stop()


def open_model(shared: SharedResources, bundle: Bundle, *, main: bool = False, tried: bool = False) -> Model:
    """Load a bundle as a further model, or as the ``main`` one; ``tried`` as for ``open_backend``.

    Raises:
        BundleError, DeviceError, SettingsError: it cannot be served.
    """
    return Model(shared, bundle, open_backend(shared.settings, bundle, tried=tried), main=main)
