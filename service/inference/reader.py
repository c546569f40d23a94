"""The analysis of one image: decode it in a thread, wait for the model, apply the guard. It knows nothing of HTTP."""

import asyncio
import io
import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.drift import brightness_and_contrast
from contract.image import SIDE, Decoded, Note
from contract.margins import Frame, on_whole_picture
from service.inference.batching.batcher import Batcher
from service.inference.batching.scoring import Scored
from service.inference.decoding.decoder import Decoder
from service.inference.decoding.rules import Rules
from service.inference.guard import Guard
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one image: the probability of PNEUMONIA, warnings, and the seconds per stage.

    ``guard_score``: None if no guard is in use. ``heatmap``: float32 (h, w), 0..1, of the whole image including its
    margins; None if it was not requested. ``flagged``: unlike the training data. ``turned``: rotated or mirrored as its
    EXIF orientation says. ``unclear_depth``: its 16-bit samples were scaled by a range that had to be guessed.
    ``notes``, ``age``: of a DICOM object: warnings, and the patient's age in years; None: not known.
    ``covered_by``: the only population of the guard that covers it, or None.
    """

    probability: float
    guard_score: float | None
    heatmap: NDArray[np.float32] | None
    flagged: bool
    turned: bool
    unclear_depth: bool
    covered_by: str | None
    batch_size: int
    decode_s: float
    queue_s: float
    inference_s: float
    notes: tuple[Note, ...] = ()
    age: float | None = None


@dataclass(slots=True)
class Reader:
    """Analyses single images. ``counts``: whether they count in the metrics of guard and drift; it may change.
    ``at_once``: whether the thread that has decoded an image scores it, too; else the batcher collects images.
    """

    batcher: Batcher
    decoder: Decoder
    guard: Guard
    metrics: Metrics
    rules: Rules
    counts: bool = True
    at_once: bool = False

    async def read(self, image: bytes | NDArray[np.uint8], *, explain: bool = False) -> Reading:
        """Analyse one image.

        Args:
            image: the bytes of the file; or its pixels as the image contract defines them, uint8 (200, 200, 1).
            explain: whether the reading includes the heatmap.

        Raises:
            ImageRefused: the file cannot be used.
            UnlikeTrainingData: the guard is set to refuse, and flagged the image.
            ServiceError: the service is overloaded or stopping, or the model failed.
        """
        started = time.monotonic()
        # Explained images do not count: people look again at unusual images, which must not look like a drift.
        prepared = await self._prepare(image, counts=self.counts and not explain, explain=explain)
        decode_s = prepared.ready_at - started
        scored = prepared.scored or await self.batcher.submit(prepared.pixels, explain=explain)
        self.metrics.image_analysed(decode_s, scored.queue_s, scored.inference_s)
        if prepared.light and self.counts:  # it may have changed meanwhile
            self._count(prepared.light, scored)
        return Reading(
            probability=scored.probability,
            guard_score=scored.guard_score,
            heatmap=None if scored.heatmap is None else on_whole_picture(scored.heatmap, prepared.frame),
            flagged=self.guard.apply(scored.guard_score),
            turned=prepared.turned,
            unclear_depth=prepared.unclear_depth,
            covered_by=scored.covered_by,
            batch_size=scored.batch_size,
            decode_s=decode_s,
            queue_s=scored.queue_s,
            inference_s=scored.inference_s,
            notes=prepared.notes,
            age=prepared.age,
        )

    def _count(self, light: tuple[float, float], scored: Scored) -> None:
        """Count an image in the metrics of guard and drift."""
        brightness, contrast = light
        features = {"brightness": brightness, "contrast": contrast, "probability": scored.probability}
        if scored.guard_score is not None:
            features["guard_score"] = scored.guard_score
            self.metrics.guard_scored(scored.guard_score, self.guard.flags(scored.guard_score))
        self.metrics.drift_observed(features)

    async def warm_up(self, batch: int) -> None:
        """Decode a blank JPEG and a blank PNG, and score one image alone and then, if batches are the rule, ``batch``
        images at once: onnxruntime keeps the memory of the largest batch.

        Raises:
            ServiceError: the model failed.
        """
        blank = [await self._prepare(_blank(kind), counts=True) for kind in ("JPEG", "PNG")]
        for size in [1] if self.at_once else sorted({1, batch}):
            await asyncio.gather(*(self.batcher.submit(blank[0].pixels) for _ in range(size)))

    async def _prepare(self, image: bytes | NDArray[np.uint8], *, counts: bool, explain: bool = False) -> "_Prepared":
        if not isinstance(image, bytes):
            return _measured(Decoded(image, turned=False), counts=counts)
        caller = _Caller()
        then = partial(self._score, caller, explain=explain) if self.at_once else None
        try:
            return await self.decoder.decode(image, self.rules, partial(_measured, counts=counts), then)
        except asyncio.CancelledError:
            caller.is_gone = True
            raise

    def _score(self, caller: "_Caller", prepared: "_Prepared", *, explain: bool) -> "_Prepared":
        """Score a decoded image in the thread that has decoded it."""
        if caller.is_gone:
            return prepared
        return replace(prepared, scored=self.batcher.score_now(prepared.pixels, explain=explain))


@dataclass(slots=True)
class _Caller:
    """Whether the one that sent an image has stopped waiting."""

    is_gone: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A decoded image. ``light``: brightness and contrast for the drift metrics; None if the image does not count.
    ``ready_at``: when it was decoded, on the monotonic clock. ``scored``: None until it is.
    """

    pixels: NDArray[np.uint8]
    turned: bool
    unclear_depth: bool
    frame: Frame
    notes: tuple[Note, ...]
    age: float | None
    light: tuple[float, float] | None
    ready_at: float
    scored: Scored | None = None


def _measured(decoded: Decoded, *, counts: bool) -> _Prepared:
    light = brightness_and_contrast(decoded.pixels) if counts else None
    return _Prepared(
        decoded.pixels,
        decoded.turned,
        decoded.unclear_depth,
        decoded.frame,
        decoded.notes,
        decoded.age,
        light,
        time.monotonic(),
    )


def _blank(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (SIDE, SIDE)).save(buffer, kind)
    return buffer.getvalue()
