"""The audit: who asked what about which image, and what was answered. One hook for every call that reads images."""

import asyncio
import hashlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from fastapi import Request

from contract.bundle import Bundle
from service.audit.chain import AuditError, Chain
from service.audit.line import Event, ImageRead, Started, Stopped
from service.audit.writer import PATIENCE_S, Writer
from service.errors import AuditUnavailable
from service.inference.backend import Backend
from service.inference.points import Point
from service.problems import kind_of
from service.settings import Settings, SettingsError
from service.telemetry.metrics import Metrics
from service.wire import Prediction, PredictResponse

log = logging.getLogger("service.audit")


class Served(Protocol):
    """Whatever reads with a model."""

    @property
    def bundle(self) -> Bundle:
        """The model, checked."""

    @property
    def backend(self) -> Backend:
        """The same model, loaded."""


@dataclass(slots=True)
class AuditedAnswer:
    """What a call answers; None as long as it has no answer."""

    answer: PredictResponse | None = None


class Audit:
    """The audit that the settings ask for; it may be none.

    Args:
        settings: the effective settings.
        metrics: where lines are counted.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._mode, self._writer = settings.audit, None
        if settings.audit_folder is not None and settings.audit != "off":
            opener = partial(Chain, settings.audit_folder, settings.audit_max_bytes)
            self._writer = Writer(opener, metrics)
        metrics.register_audit_gauge(lambda: float(self._writer is not None and self._writer.failing))

    @property
    def forbids(self) -> bool:
        """Whether no image may be read now, because nobody could tell of it later."""
        return self._mode == "required" and self._writer is not None and self._writer.failing

    def open(self) -> None:
        """Open the files before anything is served. Where the audit is not required, a lost disk stops no start.

        Raises:
            SettingsError: it is required and cannot be written.
        """
        if self._writer is None:
            return
        try:
            self._writer.open()
        except (OSError, AuditError) as error:
            if self._mode == "required":
                raise SettingsError(f"XRAY_AUDIT_FOLDER: {error}") from None
            log.error("the audit cannot be opened", extra={"reason": str(error)})

    @asynccontextmanager
    async def alive(self, served: Served, version: str) -> AsyncIterator[None]:
        """Write what is kept, for as long as the context lasts, and of its beginning and end.

        Args:
            served: the model that the service is started with.
            version: of the service.
        """
        if self._writer is None:
            yield
            return
        task = asyncio.create_task(self._writer.run(), name="audit")
        started = Started(instance=socket.gethostname(), service=version, audit=self._mode, **_model(served))
        self._writer.submit([started])
        try:
            yield
        finally:
            await asyncio.wait([self._writer.submit([Stopped()])], timeout=PATIENCE_S)
            task.cancel()
            await asyncio.wait([task])
            await self._writer.close()

    @asynccontextmanager
    async def reading(
        self, request: Request, served: Served, point: Point, images: Sequence[bytes | memoryview]
    ) -> AsyncIterator[AuditedAnswer]:
        """Have images read within this context, and set the answer; what comes out of it is kept, an exception too.

        Args:
            request: whose caller, id and route are kept.
            served: the model that reads them.
            point: the operating point of the labels.
            images: as they were sent. Their digests are kept, and nothing else of them.

        Raises:
            AuditUnavailable: it could not be kept, and has to be. Then nothing may be answered.
        """
        told = AuditedAnswer()
        if self._writer is None:
            yield told
            return
        if self.forbids:
            raise AuditUnavailable
        digests = await asyncio.to_thread(_digests, images)
        line = partial(ImageRead, **_asked(request, served, point))
        try:
            yield told
        except asyncio.CancelledError:
            self._writer.submit([line(image_sha256=digest, problem="cancelled") for digest in digests])
            raise
        except Exception as error:
            await self._keep([line(image_sha256=digest, problem=kind_of(error).slug) for digest in digests])
            raise
        predictions = told.answer.predictions if told.answer else []
        await self._keep(
            [line(image_sha256=digest, **_answered(each)) for digest, each in zip(digests, predictions, strict=True)]
        )

    async def _keep(self, events: Sequence[Event]) -> None:
        if self._writer is None:
            return
        kept = self._writer.submit(events)
        if self._mode != "required":
            return
        await asyncio.wait([kept], timeout=PATIENCE_S)
        if not kept.done() or not kept.result():
            raise AuditUnavailable


def _digests(images: Sequence[bytes | memoryview]) -> list[str]:
    return [hashlib.sha256(image).hexdigest() for image in images]


def _model(served: Served) -> dict[str, str]:
    manifest, graph = served.bundle.manifest, served.backend.graph
    return {
        "model": manifest.name,
        "version": manifest.version,
        "graph": graph,
        "graph_sha256": manifest.files[graph],
        "provider": served.backend.provider,
    }


def _asked(request: Request, served: Served, point: Point) -> dict[str, Any]:
    record = request.state.record
    return {
        "caller": record.caller,
        "request_id": record.request_id,
        "route": request.scope["route"].path,
        "operating_point": point.name,
        "threshold": point.threshold,
        **_model(served),
    }


def _answered(prediction: Prediction) -> dict[str, Any]:
    if prediction.error:
        return {"problem": prediction.error.type.rpartition("/")[2]}
    return {
        "label": prediction.label,
        "probability": prediction.probability,
        "guard_score": prediction.guard_score,
        "warnings": tuple(warning.code for warning in prediction.warnings),
    }
