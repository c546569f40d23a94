"""What is alive in one service, from its start to its end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal

from contract.bundle import Bundle
from service.access.authentication import open_authenticator
from service.audit.recorder import Audit
from service.inference.admission import Admission, Phase
from service.inference.backend import Backend
from service.inference.cpus import share_of_cpus
from service.inference.model import Model, Shared, open_model
from service.inference.pool import Pool
from service.inference.repository import Repository, folder_of
from service.settings import Settings
from service.telemetry.drift import bins_of
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Service:
    """The parts of a service, built and not yet running; ``alive`` runs them.

    ``main`` is the model it is started with, and what every call reads with that names none; ``repository`` has all.

    Args:
        settings: the effective settings.
        bundle: the model, checked.
        backend: the same model, loaded.

    Raises:
        SettingsError: the bundle cannot do what the settings ask for.
    """

    def __init__(self, settings: Settings, bundle: Bundle, backend: Backend) -> None:
        self.settings = settings
        self.authenticator = open_authenticator(settings)
        self.admission = Admission(settings.capacity, settings.max_held_bytes)
        self.metrics = Metrics()
        self._pool = Pool(settings.decode_threads or share_of_cpus(settings.workers))
        self.audit = Audit(settings, self.metrics)
        # One at a time, apart from the decoders: pictures for people never hold up what is only to be read.
        self.drawer = ThreadPoolExecutor(1, thread_name_prefix="draw")
        # One at a time: what is written as JSON takes a multiple of its size once it is parsed.
        self.parser = ThreadPoolExecutor(1, thread_name_prefix="parse")
        shared = Shared(settings, self._pool, self.metrics, lambda: self.admission.images_in_flight <= 1)
        self.main = Model(shared, bundle, backend, main=True)
        self.repository = Repository(self.main, folder_of(settings, self.main), partial(open_model, shared))
        self.metrics.serves(
            name=self.main.name,
            version=self.main.version,
            graph=backend.graph,
            provider=backend.provider,
            device_requested=settings.device,
        )
        self.metrics.expect_images(
            bundle.manifest.operating_points, bins_of(bundle.manifest, guarded=self.main.guard.mode != "off")
        )
        self.metrics.follow(
            lambda: sum(model.batcher.depth for model in self.repository.models),
            lambda: self.admission.images_in_flight,
            lambda: settings.capacity,
            lambda: float(self.status == Phase.READY.value),
        )

    @property
    def status(self) -> Literal["ok", "starting", "draining", "failing"]:
        """``ok`` if a request that came now would be answered."""
        if self.admission.phase is Phase.READY and (not self.main.is_sound or self.audit.forbids):
            return "failing"
        return self.admission.phase.value

    @asynccontextmanager
    async def alive(self, *, warm_up: bool = True) -> AsyncIterator[None]:
        """Run the models, warm them up and open the door; and afterwards leave nobody waiting."""
        for model in self.repository.models:
            model.start()
        warming = asyncio.create_task(self._warm_up(), name="warm-up") if warm_up else None
        try:
            yield
        finally:
            self.admission.close()
            if warming:
                warming.cancel()
                await asyncio.wait([warming])
            for model in self.repository.models:
                await model.end()
            self._pool.shutdown()
            for pool in (self.drawer, self.parser):
                pool.shutdown(wait=False)

    async def _warm_up(self) -> None:
        try:
            for model in self.repository.models:
                await model.warm_up()
        except Exception:
            log.exception("the warm-up failed: the service will not get ready")
            return
        self.admission.open()
        log.info(
            "ready",
            extra={
                "model_version": self.main.version,
                "provider": self.main.backend.provider,
                "graph": self.main.backend.graph,
                "operating_point": self.main.default_point.name,
                "guard": self.main.guard.mode,
            },
        )
