"""What is alive in one service, from its start to its end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Literal

from contract.bundle import Bundle
from service.access import open_gate
from service.audit import Audit
from service.backend import Backend
from service.batcher import Batcher
from service.cpus import usable_cpus
from service.door import Door, Phase
from service.guard import choose_guard
from service.points import default_point
from service.reader import Reader
from service.settings import Settings
from service.telemetry import Metrics

# So many model calls in a row that failed, and the service is no longer ready.
_MAX_FAULTS = 3

log = logging.getLogger(__name__)


class Service:
    """The parts of a service, built and not yet running; ``alive`` runs them.

    Args:
        settings: the effective settings.
        bundle: the model, checked.
        backend: the same model, loaded.

    Raises:
        SettingsError: the bundle cannot do what the settings ask for.
    """

    def __init__(self, settings: Settings, bundle: Bundle, backend: Backend) -> None:
        self.settings, self.bundle, self.backend = settings, bundle, backend
        self.default_point = default_point(bundle.manifest, settings.operating_point)
        self.guard = choose_guard(bundle.manifest, settings.guard)
        self.gate = open_gate(settings)
        self.door = Door(settings.capacity, settings.max_held_bytes)
        self.metrics = Metrics()
        self.audit = Audit(settings, self.metrics)
        self._max_batch = min(settings.max_batch, settings.capacity)
        self.batcher = Batcher(
            backend, max_batch=self._max_batch, capacity=settings.capacity, on_batch=self.metrics.batch_done
        )
        decoders = ThreadPoolExecutor(settings.decode_threads or usable_cpus(), thread_name_prefix="decode")
        self.reader = Reader(self.batcher, decoders, self.guard, self.metrics, settings.max_pixels)
        # One at a time, apart from the decoders: pictures for people never hold up what is only to be read.
        self.drawer = ThreadPoolExecutor(1, thread_name_prefix="draw")
        self._task: asyncio.Task[None] | None = None
        self.metrics.serves(
            name=bundle.manifest.name,
            version=bundle.manifest.version,
            graph=backend.graph,
            provider=backend.provider,
            device_requested=settings.device,
        )
        self.metrics.follow(
            lambda: self.batcher.depth, lambda: self.door.seated, lambda: float(self.status == Phase.READY.value)
        )

    @property
    def status(self) -> Literal["ok", "starting", "draining", "failing"]:
        """``ok`` if a request that came now would be answered."""
        unable = not self.is_live or self.batcher.faults >= _MAX_FAULTS or self.audit.forbids
        if self.door.phase is Phase.READY and unable:
            return "failing"
        return self.door.phase.value

    @property
    def is_live(self) -> bool:
        """Whether the process is of any use; if not, only a restart helps."""
        return self._task is None or not self._task.done()

    @asynccontextmanager
    async def alive(self, *, warm_up: bool = True) -> AsyncIterator[None]:
        """Run the batcher, warm the model up and open the door; and afterwards leave nobody waiting."""
        self._task = asyncio.create_task(self.batcher.run(), name="batcher")
        tasks = [self._task]
        if warm_up:
            tasks.append(asyncio.create_task(self._warm_up(), name="warm-up"))
        try:
            yield
        finally:
            self.door.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.reader.decoders.shutdown(wait=False)
            self.drawer.shutdown(wait=False)

    async def _warm_up(self) -> None:
        """Go the way of a request with a blank image, alone and as the largest batch: nobody pays for a first time."""
        try:
            await self.reader.warm_up(self._max_batch)
        except Exception:
            log.exception("the warm-up failed: the service will not get ready")
            return
        self.door.open()
        log.info(
            "ready",
            extra={
                "model_version": self.bundle.manifest.version,
                "provider": self.backend.provider,
                "graph": self.backend.graph,
                "operating_point": self.default_point.name,
                "guard": self.guard.mode,
            },
        )
