"""From the images of one request to the predictions in its response."""

import asyncio
import math
from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from contract.header import is_dicom
from service.errors import NotAcceptable, UnlikeTrainingData
from service.http.documents.negotiation import qualities
from service.inference.guard import Guard
from service.inference.model import Model
from service.inference.points import Point
from service.inference.reader import Reader, Reading
from service.problems import problem
from service.telemetry.record import RequestRecord
from service.wire import Caution, ModelName, Prediction, PredictResponse

DICOM = "application/dicom"
# Answers of other types that a client may accept instead.
_OTHERS = ("application/json", "image/png", "application/*", "image/*", "*/*")
ReadingOrError = Reading | BaseException

_TURNED = Caution(
    code="exif_orientation_applied",
    detail="the image was rotated or mirrored as its EXIF orientation says: verify left and right",
)
_UNCLEAR_DEPTH = Caution(
    code="bit_depth_unclear",
    detail="the image has 16 bits per sample, but the range in use is unclear, so its brightness may be wrong: "
    "send 8 bits, 12 bits unshifted, or the full 16-bit range",
)
_OTHER_POPULATION = (
    "{why}, but the image was judged as one of the population {used}: check the patient's age, and which population "
    "was asked for"
)


def wants_object(accept: str, images: Sequence[bytes]) -> bool:
    """Whether the answer is to be a DICOM object, by the Accept header of the request.

    Raises:
        NotAcceptable: it may be nothing else, and the images are not one DICOM file.
    """
    if DICOM not in accept.lower():  # nearly every request
        return False
    accepted = qualities(accept).keys()
    if DICOM not in accepted:
        return False
    if len(images) == 1 and is_dicom(images[0]):
        return True
    if not accepted.isdisjoint(_OTHERS):
        return False
    raise NotAcceptable("the answer is a DICOM object only to one DICOM file; send one, or accept another type")


async def read_all(
    reader: Reader,
    images: Sequence[bytes | NDArray[np.uint8]],
    until: float | None = None,
    *,
    explain: bool = False,
) -> list[ReadingOrError]:
    """Analyse all images of a request concurrently.

    Args:
        reader: analyses one image.
        images: files, or pixels uint8 (200, 200, 1).
        until: time of the event loop; an image that is not ready by then has a TimeoutError. None: whenever.
        explain: whether the readings have a heatmap.

    Returns:
        a reading or an exception per image, in the order sent.
    """
    if len(images) == 1:  # nearly every request; saves the task that gather would create
        try:
            return [await _read(reader, images[0], explain, until)]
        except Exception as error:
            return [error]
    reads = (_read(reader, image, explain, until) for image in images)
    return await asyncio.gather(*reads, return_exceptions=True)


async def _read(reader: Reader, image: bytes | NDArray[np.uint8], explain: bool, until: float | None) -> Reading:
    async with asyncio.timeout_at(until):
        return await reader.read(image, explain=explain)


def has_failed(results: Sequence[ReadingOrError]) -> bool:
    """Whether the whole request has failed: its only image has, or none of several was ready in time."""
    if len(results) == 1:
        return isinstance(results[0], BaseException)
    return all(isinstance(result, TimeoutError) for result in results)


def response(
    model: Model, point: Point, filenames: Sequence[str | None], results: Sequence[ReadingOrError], request_id: str
) -> PredictResponse:
    """The response for these images at an operating point. The entry of a failed image holds its problem.

    Where the request states no population, the age in a DICOM object chooses that of its image; and of the response, if
    it is the only image.
    """
    points = [model.point_for_age(point, getattr(result, "age", None)) for result in results]
    point = points[0] if len(points) == 1 else point
    return PredictResponse(
        model=model_name(model),
        request_id=request_id,
        provider=model.backend.provider,
        operating_point=point.name,
        population=point.population,
        site=point.site,
        predictions=[
            prediction_of(model.guard, own, filename, result, request_id)
            for own, filename, result in zip(points, filenames, results, strict=True)
        ],
    )


def update_record(record: RequestRecord, model: Model, results: Sequence[ReadingOrError]) -> None:
    """Set the log fields that describe the analysis: the model, the number of images, how many of them the guard
    flagged, the largest batch, and per stage the longest time of any image, since the images of one request are
    processed concurrently.
    """
    readings = [result for result in results if isinstance(result, Reading)]
    record.model = f"{model.name}/{model.version}"
    record.images = len(results)
    refused = sum(isinstance(result, UnlikeTrainingData) for result in results)
    record.flagged = refused + sum(reading.flagged for reading in readings)
    record.batch_size = max((reading.batch_size for reading in readings), default=0)
    for stage in ("decode", "queue", "inference"):
        slowest = max((getattr(reading, f"{stage}_s") for reading in readings), default=0.0)
        setattr(record, f"{stage}_ms", round(1e3 * slowest, 2))


def result_headers(response: PredictResponse) -> dict[str, str]:
    """The result in headers, for programs."""
    entry = response.predictions[0]
    chosen = {"X-Population": response.population, "X-Site": response.site}
    return {name: quote(value) for name, value in chosen.items() if value is not None} | {
        "X-Model": f"{response.model.name}/{response.model.version}",
        "X-Operating-Point": quote(response.operating_point),
        "X-Label": str(entry.label),
        "X-Probability": str(entry.probability),
        "X-Threshold": str(entry.threshold),
        "X-Warnings": ", ".join(warning.code for warning in entry.warnings),
    }


def model_name(model: Model) -> ModelName:
    """Name and version of a model, for the wire."""
    return ModelName(name=model.name, version=model.version)


def prediction_of(
    guard: Guard, point: Point, filename: str | None, result: ReadingOrError, request_id: str
) -> Prediction:
    """What is answered about one image at an operating point; for an exception, its problem."""
    if isinstance(result, BaseException):
        return Prediction(filename=filename, error=problem(result, request_id))
    probability = point.calibrated(result.probability)
    return Prediction(
        filename=filename,
        label="PNEUMONIA" if probability >= point.threshold else "NORMAL",
        probability=probability,
        threshold=point.threshold,
        population=point.population,
        guard_score=_finite_or_none(result.guard_score),
        covered_by=result.covered_by,
        warnings=_warnings(guard, point, result),
    )


def _finite_or_none(score: float | None) -> float | None:
    """The score, or None where JSON has no number for it (NaN, infinity)."""
    return score if score is not None and math.isfinite(score) else None


def _warnings(guard: Guard, point: Point, reading: Reading) -> list[Caution]:
    warnings = [_TURNED] if reading.turned else []
    if reading.unclear_depth:
        warnings.append(_UNCLEAR_DEPTH)
    warnings += [Caution(code=note.code, detail=note.detail) for note in reading.notes]
    if reading.flagged and reading.guard_score is not None:
        warnings.append(Caution(code="unlike_training_data", detail=guard.explain(reading.guard_score)))
    if why := _why_other_population(point, reading):
        detail = _OTHER_POPULATION.format(why=why, used=point.population)
        warnings.append(Caution(code="other_population", detail=detail))
    return warnings


def _why_other_population(point: Point, reading: Reading) -> str | None:
    """What says that the image is of another population than the one whose threshold was used."""
    if point.of_age is not None:
        return f"the age in the DICOM object is of the population {point.of_age}"
    if point.population is None or reading.covered_by in (None, point.population):
        return None
    return f"the image is like those of the population {reading.covered_by} only"
