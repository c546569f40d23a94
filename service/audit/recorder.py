"""Records in the audit log who submitted which image and what was answered, for every route that takes images."""

import asyncio
import hashlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import Request

from service.audit.chain import AuditError, Chain
from service.audit.fields import ServedModel, analysis_fields, answer_fields, caller_fields, model_fields
from service.audit.line import Event, Feedback, ImageRead, ImageRendered, Replaced, Started, Stopped
from service.audit.writer import WRITE_TIMEOUT_S, Writer
from service.errors import AuditUnavailable
from service.inference.points import Point
from service.problems import kind_of
from service.settings import Settings, SettingsError
from service.telemetry.metrics import Metrics
from service.wire import FeedbackRequest, PredictResponse

log = logging.getLogger("service.audit")


@dataclass(slots=True)
class AuditedAnswer:
    """Holds the answer of a request once there is one; None before."""

    answer: PredictResponse | None = None


class Audit:
    """The audit log of a service; does nothing if the settings turn it off.

    Args:
        settings: the effective settings.
        metrics: counts the lines that were written and lost.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._mode, self._writer = settings.audit, None
        if settings.audit_folder is not None and settings.audit != "off":
            opener = partial(Chain, settings.audit_folder, settings.audit_max_bytes)
            self._writer = Writer(opener, metrics)
        metrics.register_audit_gauge(lambda: float(self._writer is not None and self._writer.failing))

    @property
    def blocks_requests(self) -> bool:
        """Whether requests must be rejected now: the audit log is required and cannot be written."""
        return self._mode == "required" and self._writer is not None and self._writer.failing

    def open(self) -> None:
        """Open the files before the service accepts requests. If the audit log is not required, a disk error does not
        prevent the start.

        Raises:
            SettingsError: the audit log is required and cannot be written.
        """
        if self._writer is None:
            return
        try:
            self._writer.open()
        except (OSError, AuditError) as error:
            if self._mode == "required":
                raise SettingsError(f"XRAY_AUDIT_FOLDER: {error}") from None
            log.error("cannot open the audit log: trying again every second", extra={"reason": str(error)})

    @asynccontextmanager
    async def alive(self, served: ServedModel, version: str) -> AsyncIterator[None]:
        """Run the writer within this context; record its start and its end.

        Args:
            served: the model that the service starts with.
            version: version of the service.
        """
        if self._writer is None:
            yield
            return
        task = asyncio.create_task(self._writer.run(), name="audit")
        started = Started(instance=socket.gethostname(), service=version, audit=self._mode, **model_fields(served))
        self._writer.submit([started])
        try:
            yield
        finally:
            await asyncio.wait([self._writer.submit([Stopped()])], timeout=WRITE_TIMEOUT_S)
            task.cancel()
            await asyncio.wait([task])
            await self._writer.close()

    def model_replaced(self, served: ServedModel) -> None:
        """Record that another model is served from now on."""
        if self._writer is not None:
            self._writer.submit([Replaced(**model_fields(served))])

    @asynccontextmanager
    async def recording(
        self, request: Request, served: ServedModel, point: Point, images: Sequence[bytes | memoryview]
    ) -> AsyncIterator[AuditedAnswer]:
        """Analyse images within this context and set the answer; the answer, or the exception, is recorded.

        Args:
            request: its caller, id and route are recorded.
            served: the model that analyses the images.
            point: the operating point that sets the labels.
            images: as they were sent. Their digests are recorded, and nothing else about them.

        Raises:
            AuditUnavailable: the audit log is required and cannot be written. The answer must not be sent.
        """
        audited = AuditedAnswer()
        if self._writer is None:
            yield audited
            return
        line = partial(ImageRead, **caller_fields(request), **analysis_fields(request, served, point))
        async with self._recorded(self._writer, line, images, audited):
            yield audited

    @asynccontextmanager
    async def rendering(self, request: Request, image: bytes) -> AsyncIterator[None]:
        """Draw an image for people within this context; that it was drawn, or the exception, is recorded.

        Raises:
            AuditUnavailable: the audit log is required and cannot be written. The picture must not be sent.
        """
        if self._writer is None:
            yield
            return
        line = partial(ImageRendered, **caller_fields(request))
        async with self._recorded(self._writer, line, [image], AuditedAnswer()):
            yield

    @asynccontextmanager
    async def _recorded(
        self,
        writer: Writer,
        line: "partial[ImageRead] | partial[ImageRendered]",
        images: Sequence[bytes | memoryview],
        audited: AuditedAnswer,
    ) -> AsyncIterator[None]:
        """One line for each image, when this context ends."""
        if self.blocks_requests:
            raise AuditUnavailable
        digests = await asyncio.to_thread(_digests, images)
        lines = [partial(line, image=number, image_sha256=digest) for number, digest in enumerate(digests)]
        try:
            yield
        except asyncio.CancelledError:
            writer.submit([each(problem="cancelled") for each in lines])
            raise
        except Exception as error:
            problem = kind_of(error).slug
            await self._record([each(problem=problem) for each in lines])
            raise
        predictions = audited.answer.predictions if audited.answer else [None] * len(lines)
        answers = map(answer_fields, predictions)
        await self._record([each(**answer) for each, answer in zip(lines, answers, strict=True)])

    async def settle(self) -> None:
        """Wait until every line that this process has queued so far is on the disk.

        Raises:
            AuditUnavailable: it could not be written.
        """
        if self._writer is not None:
            await self._await_disk(self._writer.submit([]))

    async def record_feedback(self, request: Request, image: ImageRead, truth: FeedbackRequest) -> str:
        """Record the truth about an image; returns the time of the line once it is on the disk, in either mode.

        Args:
            request: of the feedback; its caller and id are recorded.
            image: the line of the image.
            truth: what became known of it.

        Raises:
            AuditUnavailable: it could not be written.
        """
        event = Feedback(
            **caller_fields(request),
            analysed=image.request_id,
            image=image.image,
            image_sha256=image.image_sha256,
            truth=truth.label,
            reader=truth.reader,
            read_at=truth.read_at and truth.read_at.isoformat(),
        )
        if self._writer is None:
            raise AuditUnavailable
        await self._await_disk(self._writer.submit([event]))
        return event.time

    async def _record(self, events: Sequence[Event]) -> None:
        if self._writer is None:
            return
        written = self._writer.submit(events)
        if self._mode == "required":
            await self._await_disk(written)

    async def _await_disk(self, written: asyncio.Future[bool]) -> None:
        await asyncio.wait([written], timeout=WRITE_TIMEOUT_S)
        if not written.done() or not written.result():
            raise AuditUnavailable


def _digests(images: Sequence[bytes | memoryview]) -> list[str]:
    return [hashlib.sha256(image).hexdigest() for image in images]
