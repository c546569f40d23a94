"""From the images of one request to the entries of its answer."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import UnlikeTrainingData
from service.inference.guard import Guard
from service.inference.model import Model
from service.inference.points import Point
from service.inference.reader import Reader, Reading
from service.problems import problem
from service.telemetry.metrics import RequestRecord
from service.wire import Caution, ModelName, Prediction, PredictResponse

Outcome = Reading | BaseException

_TURNED = Caution(
    code="exif_orientation_applied",
    detail="the picture was turned or mirrored as its EXIF orientation says: check which side is left",
)


async def read_all(
    reader: Reader, images: Sequence[bytes | NDArray[np.uint8]], *, explain: bool = False
) -> list[Outcome]:
    """Read all images of a request side by side, files or pixels: one outcome each, in the order sent."""
    if len(images) == 1:  # nearly always; without a task of its own
        try:
            return [await reader.read(images[0], explain=explain)]
        except Exception as error:
            return [error]
    reads = (reader.read(image, explain=explain) for image in images)
    return await asyncio.gather(*reads, return_exceptions=True)


def response(
    model: Model, point: Point, filenames: Sequence[str | None], outcomes: Sequence[Outcome], request_id: str
) -> PredictResponse:
    """The answer that tells the outcomes of these images at an operating point; one that failed has its problem in its
    entry.
    """
    return PredictResponse(
        model=model_name(model),
        request_id=request_id,
        provider=model.backend.provider,
        operating_point=point.name,
        predictions=[
            _entry(model.guard, point, filename, outcome, request_id)
            for filename, outcome in zip(filenames, outcomes, strict=True)
        ],
    )


def note(record: RequestRecord, model: Model, outcomes: Sequence[Outcome]) -> None:
    """Keep for the log which model read, how many images there were, how many of them the guard flagged, and where the
    time went: the slowest of each stage, since the images of one request are worked on side by side.
    """
    readings = [outcome for outcome in outcomes if isinstance(outcome, Reading)]
    record.model = f"{model.name}/{model.version}"
    record.images = len(outcomes)
    refused = sum(isinstance(outcome, UnlikeTrainingData) for outcome in outcomes)
    record.flagged = refused + sum(reading.flagged for reading in readings)
    record.batch_size = max((reading.batch_size for reading in readings), default=0)
    for stage in ("decode", "queue", "inference"):
        slowest = max((getattr(reading, f"{stage}_s") for reading in readings), default=0.0)
        setattr(record, f"{stage}_ms", round(1e3 * slowest, 2))


def model_name(model: Model) -> ModelName:
    """Which model answers."""
    return ModelName(name=model.name, version=model.version)


def _entry(guard: Guard, point: Point, filename: str | None, outcome: Outcome, request_id: str) -> Prediction:
    if isinstance(outcome, BaseException):
        told = problem(outcome, request_id)
        return Prediction(filename=filename, error=told)
    return Prediction(
        filename=filename,
        label="PNEUMONIA" if outcome.probability >= point.threshold else "NORMAL",
        probability=outcome.probability,
        threshold=point.threshold,
        guard_score=_sayable(outcome.guard_score),
        warnings=_warnings(guard, outcome),
    )


def _sayable(score: float | None) -> float | None:
    """JSON knows no infinity."""
    return score if score is not None and math.isfinite(score) else None


def _warnings(guard: Guard, reading: Reading) -> list[Caution]:
    found = [_TURNED] if reading.turned else []
    if reading.flagged and reading.guard_score is not None:
        found.append(Caution(code="unlike_training_data", detail=guard.words(reading.guard_score)))
    return found
