"""The walk of one image inside the service: decode in a thread, wait for the model, answer. HTTP has no part in it."""

import asyncio
import io
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.drift import light
from contract.image import SIDE, Decoded, decode
from contract.margins import Frame, on_whole_picture
from service.errors import UnlikeTrainingData
from service.inference.batcher import Batcher, Scored
from service.inference.guard import Guard
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Reading:
    """The probability of PNEUMONIA of one image, what its asker should know of it, and where its time went.

    ``guard_score``: None where no guard is in use. ``heatmap``: float32 (h, w), 0..1, of the whole picture, margins
    and all; None where it was not asked for.
    ``flagged``: unlike the training data. ``turned``: by its EXIF. ``unclear_depth``: its 16-bit samples were
    scaled by a range that had to be guessed.
    """

    probability: float
    guard_score: float | None
    heatmap: NDArray[np.float32] | None
    flagged: bool
    turned: bool
    unclear_depth: bool
    batch_size: int
    decode_s: float
    queue_s: float
    inference_s: float


@dataclass(frozen=True, slots=True)
class Rules:
    """How a file becomes pixels: the most pixels that are decoded, and the image contract of the model."""

    max_pixels: int
    contract: int


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads single images. ``counts``: whether its images count in the metrics of guard and drift."""

    batcher: Batcher
    decoders: Executor
    guard: Guard
    metrics: Metrics
    rules: Rules
    counts: bool = True

    async def read(self, image: bytes | NDArray[np.uint8], *, explain: bool = False) -> Reading:
        """Read one image.

        Args:
            image: the bytes of the file; or its pixels by the image contract, uint8 (200, 200, 1).
            explain: whether the heatmap is wanted.

        Raises:
            ImageRefused: it cannot be used.
            UnlikeTrainingData: it is, and the guard refuses such.
            ServiceError: the service cannot answer for it now.
        """
        began = time.monotonic()
        # Not what is explained counts: people look again at what stands out, and that must not pass for a drift.
        seen = await self._decode(image, counts=self.counts and not explain)
        decode_s = time.monotonic() - began
        scored = await self.batcher.submit(seen.pixels, explain=explain)
        self.metrics.image_analysed(decode_s, scored.queue_s, scored.inference_s)
        if seen.light:
            self._count(seen.light, scored)
        return Reading(
            probability=scored.probability,
            guard_score=scored.guard_score,
            heatmap=None if scored.heatmap is None else on_whole_picture(scored.heatmap, seen.frame),
            flagged=self._judge(scored.guard_score),
            turned=seen.turned,
            unclear_depth=seen.unclear_depth,
            batch_size=scored.batch_size,
            decode_s=decode_s,
            queue_s=scored.queue_s,
            inference_s=scored.inference_s,
        )

    def _count(self, light: tuple[float, float], scored: Scored) -> None:
        """Count what came in."""
        brightness, contrast = light
        numbers = {"brightness": brightness, "contrast": contrast, "probability": scored.probability}
        if scored.guard_score is not None:
            numbers["guard_score"] = scored.guard_score
            self.metrics.guard_scored(scored.guard_score, self.guard.flags(scored.guard_score))
        self.metrics.drift_observed(numbers)

    def _judge(self, score: float | None) -> bool:
        """Whether an image is flagged; refused if it is to be."""
        if score is None:
            return False
        flagged = self.guard.flags(score)
        if flagged and self.guard.mode == "refuse":
            raise UnlikeTrainingData(self.guard.words(score))
        return flagged

    async def warm_up(self, batch: int) -> None:
        """Decode a blank JPEG and PNG, and have the model score one, and then so many at once.

        Raises:
            ServiceError: the model failed.
        """
        blank = [await self._decode(_blank(kind), counts=True) for kind in ("JPEG", "PNG")]
        for size in sorted({1, batch}):
            await asyncio.gather(*(self.batcher.submit(blank[0].pixels) for _ in range(size)))

    async def _decode(self, image: bytes | NDArray[np.uint8], *, counts: bool) -> "_Seen":
        if not isinstance(image, bytes):
            return _seen(Decoded(image, turned=False), counts)
        call = partial(_decoded, image, self.rules, counts)
        return await asyncio.get_running_loop().run_in_executor(self.decoders, call)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A decoded image; ``light``: what counts of it, its brightness and contrast, or None where it does not count."""

    pixels: NDArray[np.uint8]
    turned: bool
    unclear_depth: bool
    frame: Frame
    light: tuple[float, float] | None


def _decoded(data: bytes, rules: Rules, counts: bool) -> _Seen:
    """All that is to be done with a file's pixels before the model, in one go in one thread."""
    return _seen(decode(data, max_pixels=rules.max_pixels, contract=rules.contract), counts)


def _seen(decoded: Decoded, counts: bool) -> _Seen:
    counted = light(decoded.pixels) if counts else None
    return _Seen(decoded.pixels, decoded.turned, decoded.unclear_depth, decoded.frame, counted)


def _blank(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (SIDE, SIDE)).save(buffer, kind)
    return buffer.getvalue()
