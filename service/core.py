"""The parts of one running service: models, admission, metrics, audit, thread pools; and their life cycle."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from contract.bundle import Bundle
from service.access.authentication import open_authenticator
from service.access.proxies import TrustedProxies
from service.audit.recorder import Audit
from service.errors import UnsoundModel
from service.inference.admission import Admission, Phase
from service.inference.backend import Backend
from service.inference.decoding.decoder import Decoder
from service.inference.loading.bundles import Key
from service.inference.loading.folder import repository_folder
from service.inference.loading.memory import return_freed_memory
from service.inference.model import Model, SharedResources
from service.inference.repository import Repository, key_of
from service.inference.threads.calls import CountedThreads, RunningCalls
from service.inference.threads.cpus import cpus_per_worker
from service.inference.threads.pool import Pool, StartedThreads
from service.settings import Settings
from service.settings.network import listed
from service.telemetry.drift import bins_of
from service.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

# The service is not ready, is not live, and exits if a call of a model, decoder or drawing has been running for longer
# than these multiples of the deadline. By then each request that waits for the call has got its 504.
_READY_DEADLINES, _LIVE_DEADLINES, _EXIT_DEADLINES = 1, 3, 6
# Seconds; the smallest deadline for this purpose: a call may exceed a short deadline without being stuck.
_SHORTEST_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Reload:
    """The outcome of reading XRAY_MODEL again: the model that was served before, and the one that is served now."""

    previous: Key
    current: Key


# Each takes about 45 MiB besides what it decodes; 95 once it has read a DICOM object.
_MAX_DECODER_PROCESSES = 2


class Service:
    """The parts of a service, constructed but not started; ``running`` starts and stops them.

    ``repository`` holds all models; ``reload`` replaces the main one, and with several workers is set by the server.

    Args:
        settings: the effective settings.
        bundle: the verified model bundle.
        backend: the same model, loaded.

    Raises:
        SettingsError: the bundle does not support what the settings require.
    """

    def __init__(self, settings: Settings, bundle: Bundle, backend: Backend) -> None:
        self.settings = settings
        self.authenticator = open_authenticator(settings)
        self.proxies = TrustedProxies(listed(settings.trusted_proxies))
        self.admission = Admission(settings.capacity, settings.max_held_bytes)
        self.metrics = Metrics()
        threads = settings.decode_threads or cpus_per_worker(settings.workers)
        self._pool, self._calls = Pool(threads), RunningCalls()
        decoded_bytes = settings.max_decoded_bytes // settings.workers
        processes = min(threads, _MAX_DECODER_PROCESSES)
        self.decoder = Decoder(self._pool.decoders, decoded_bytes, processes, self._calls)
        self.audit = Audit(settings, self.metrics)
        # One thread of its own: rendering for /explain must not delay the decoding for /predict.
        self.drawer = CountedThreads(self._calls, 1, "draw")
        # One thread, so one request body at a time: parsed JSON takes a multiple of the memory of its text.
        self.parser = CountedThreads(self._calls, 1, "parse")
        # One thread, so one search in the audit log at a time.
        self.searcher = StartedThreads(1, "search")
        shared = SharedResources(
            settings,
            self._pool,
            self.decoder,
            self.metrics,
            lambda: self.admission.images_in_flight <= 1,
            self._calls,
        )
        main = Model(shared, bundle, backend, main=True)
        self.repository = Repository(shared, main, repository_folder(settings, main.name))
        self.reload: Callable[[], Awaitable[Reload]] = self._reload
        self._describe_main()
        self._warm_up_failed = False
        self.metrics.register_gauges(
            lambda: sum(model.batcher.depth for model in self.repository.models),
            lambda: self.admission.images_in_flight,
            lambda: settings.capacity,
            lambda: float(self.status == Phase.READY.value),
        )

    @property
    def main(self) -> Model:
        """The served model: it analyses the images of every request that names none. It may be replaced at any time,
        so a request takes it once and keeps it (``Model.in_use``).
        """
        return self.repository.main

    @property
    def status(self) -> Literal["ok", "starting", "draining", "failing"]:
        """``ok`` if the service can answer a request now; ``starting``, ``draining`` or ``failing`` otherwise."""
        if self.admission.phase is Phase.READY and not self._is_healthy:
            return "failing"
        return self.admission.phase.value

    @property
    def is_live(self) -> bool:
        """False if only a new process can serve again: the batcher has failed, or a call hangs."""
        return self.main.is_live and self._oldest_call_deadlines <= _LIVE_DEADLINES

    @property
    def _is_healthy(self) -> bool:
        is_stuck = self._oldest_call_deadlines > _READY_DEADLINES
        return self.main.is_healthy and not is_stuck and not self.audit.blocks_requests

    @property
    def _oldest_call_deadlines(self) -> float:
        """The time for which the oldest call (of a model, a decoder, a drawing) has been running, in request
        deadlines.
        """
        return self._calls.oldest_s / max(self.settings.deadline_s, _SHORTEST_DEADLINE_S)

    @property
    def must_restart(self) -> str | None:
        """Why only a new process can serve again; None while this one can."""
        if broken := [model for model in self.repository.models if model.has_failed]:
            return f"the batcher of {broken[0].name}/{broken[0].version} has failed"
        if self._warm_up_failed:
            return "the warm-up has failed"
        if self.main.recovery.has_failed:
            return "the model fails, and new sessions in this process do not help"
        if self._oldest_call_deadlines > _EXIT_DEADLINES:
            return f"a call of the model, a decoder or a drawing has been running for {self._calls.oldest_s:.0f} s"
        return None

    @asynccontextmanager
    async def running(self, *, warm_up: bool = True) -> AsyncIterator[None]:
        """Start the models, warm them up and open admission; at exit close admission and end every pending request.

        Args:
            warm_up: False: admission stays closed, for a caller that uses the models directly.
        """
        for model in self.repository.models:
            model.start()
        warm_up_task = asyncio.create_task(self._warm_up(), name="warm-up") if warm_up else None
        try:
            yield
        finally:
            self.admission.close()
            if warm_up_task:
                warm_up_task.cancel()
                await asyncio.wait([warm_up_task])
            await self.repository.stop()
            self.decoder.close()
            self._pool.shutdown()
            for executor in (self.drawer, self.parser, self.searcher):
                executor.shutdown(wait=False)

    async def open_successor(self, digest: str | None = None) -> Model | None:
        """Read, verify, load and warm up what XRAY_MODEL names now, for ``switch``; None if it is served already. If a
        step fails, the served model stays, and the log says why.

        Args:
            digest: of the bundle that is expected; None: any.

        Raises:
            UnsoundModel: it cannot be served.
        """
        try:
            return await self.repository.open_successor(digest)
        except UnsoundModel as error:
            self.metrics.swap_failed.set(True)
            fields = {"model": self.main.name, "model_version": self.main.version, "reason": str(error)}
            log.error("the model was not replaced: the old one stays in service", extra=fields)
            raise

    def switch(self, successor: Model) -> None:
        """Serve another model from now on. Requests that use the old one are completed with it."""
        old = self.main
        self.repository.switch(successor)
        self._describe_main()
        self.metrics.swap_failed.set(False)
        self.audit.model_replaced(successor)
        log.info("the model was replaced", extra=self._main_fields() | {"previous": "/".join(key_of(old))})

    async def _reload(self) -> Reload:
        """Replace the served model by what XRAY_MODEL names now.

        Raises:
            UnsoundModel: it cannot be served.
            ModelConflict: models are being changed already.
        """
        with self.repository.changing():
            previous, successor = key_of(self.main), await self.open_successor()
            if successor:
                self.switch(successor)
            else:
                self.metrics.swap_failed.set(False)
                log.info("the model is unchanged", extra=self._main_fields())
            return Reload(previous, key_of(self.main))

    def _describe_main(self) -> None:
        """Name the served model in the metrics, and start the counters of its images."""
        self.main.describe()
        manifest = self.main.bundle.manifest
        bins = bins_of(manifest, guarded=self.main.guard.mode != "off")
        self.metrics.initialise_images(manifest.operating_points, bins)

    def _main_fields(self) -> dict[str, str | None]:
        main = self.main
        return {
            "model": main.name,
            "model_version": main.version,
            "provider": main.backend.provider,
            "graph": main.backend.graph,
            "operating_point": main.default_point.name,
            "population": main.default_point.population,
            "guard": main.guard.mode,
        }

    async def _warm_up(self) -> None:
        try:
            for model in self.repository.models:
                await model.warm_up()
                if model is not self.main:
                    named = {"model": model.name, "model_version": model.version, "graph": model.backend.graph}
                    log.info("a model was loaded", extra=named)
        except Exception:
            log.exception("the warm-up failed")
            self._warm_up_failed = True
            return
        return_freed_memory()  # what loading has left
        self.admission.open()
        log.info("ready", extra=self._main_fields())
