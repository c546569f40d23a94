"""The objects on the wire. Separate, frozen models: internals may change, responses must not.

And how text that came over the wire, or from a file of someone else, is shown on a terminal.
"""

import json
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from service.settings import AuditMode

# The one place of the version: pyproject.toml reads it here. (In a clone and in the container image the package is not
# installed, so there is no package metadata.)
VERSION = "0.1.0"

Probability = Annotated[float, Field(ge=0, le=1)]


def printable(text: str, keep: str = "") -> str:
    """The text for a terminal. What is not printable becomes a Python escape: it could move the cursor, clear the
    screen, set the clipboard, or reverse the direction of what follows.

    Args:
        text: any text.
        keep: characters that stay as they are, such as a line feed.
    """
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def printable_json(text: str) -> str:
    """The same for a line of JSON, whose value stays the same: what is not printable becomes an escape of JSON."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


class _Wire(BaseModel):
    # A response has all fields, including those with a default here; this setting makes the schema say so.
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Problem(_Wire):
    """A problem object (RFC 9457)."""

    type: str = Field(
        description="Identifies the kind of problem. A relative URI: the service has a page about it there.",
        examples=["/problems/truncated-image"],
    )
    title: str = Field(examples=["The image is cut short or damaged"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the file ends before the picture does, or is damaged"])
    request_id: str = Field(examples=["8c5f0a2e9d4b4c1f"])


class InferenceProblem(Problem):
    """A problem object as the Open Inference Protocol, below ``/v2``, answers it."""

    error: str = Field(description="A copy of `detail`, for clients of the protocol.")


class ModelName(_Wire):
    """Name and version of a model."""

    name: str = Field(examples=["pneumonia"])
    version: str = Field(examples=["1"])


class Caution(_Wire):
    """A warning about an image that affects how its result should be used."""

    code: str = Field(
        examples=["exif_orientation_applied", "bit_depth_unclear", "unlike_training_data", "other_population"]
    )
    detail: str = Field(
        examples=["the image was rotated or mirrored as its EXIF orientation says: verify left and right"]
    )


class Prediction(_Wire):
    """The result of one image. If the image failed, ``error`` is set, and label, probability and threshold are null."""

    filename: str | None = Field(description="As sent; null for a raw body.", examples=["xray.jpeg"])
    label: Literal["NORMAL", "PNEUMONIA"] | None = Field(
        default=None, description="PNEUMONIA if probability >= threshold."
    )
    probability: Probability | None = Field(default=None, description="Probability of PNEUMONIA.", examples=[0.9731])
    threshold: Probability | None = Field(default=None, description="Threshold of the operating point.", examples=[0.5])
    population: str | None = Field(
        default=None,
        description="Population whose calibration and threshold apply to this image: that of the response, or the one "
        "that the age in a DICOM object chose. null: it is unknown, or the image failed.",
        examples=["adult"],
    )
    guard_score: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How unlike the training data the image is: about 1 for a typical image, flagged above the "
        "threshold in `GET /model`. null: no guard is in use; or the score is not a number, and the image is flagged.",
        examples=[0.97],
    )
    covered_by: str | None = Field(
        default=None,
        description="The only population of the model whose training images are like this one. null: several or none "
        "are, or its input guard does not know populations.",
        examples=["adult"],
    )
    warnings: list[Caution] = []
    error: Problem | None = None


class PredictResponse(_Wire):
    """The predictions, in the order in which the images were sent."""

    model: ModelName
    request_id: str = Field(examples=["8c5f0a2e9d4b4c1f"])
    provider: str = Field(description="The execution provider that ran the model.", examples=["CPUExecutionProvider"])
    operating_point: str = Field(
        description="Operating point whose threshold decided the labels.", examples=["balanced"]
    )
    population: str | None = Field(
        default=None,
        description="Population whose calibration and thresholds apply. null: it is unknown, so those chosen for all "
        "populations together apply.",
        examples=["adult"],
    )
    site: str | None = Field(
        default=None,
        description="Site whose own calibration and thresholds apply. null: those of the model.",
        examples=["General Hospital"],
    )
    predictions: list[Prediction]


class FeedbackRequest(_Wire):
    """What became known of an analysed image later. The image is that of the request; if it had several, their number
    or digest says which.
    """

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_serialization_defaults_required=False)

    request_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = Field(
        description="Of the answer: its `request_id`, or the header `X-Request-ID`.", examples=["8c5f0a2e9d4b4c1f"]
    )
    label: Literal["NORMAL", "PNEUMONIA"] | None = Field(
        description="The truth. null withdraws what was reported before.", examples=["PNEUMONIA"]
    )
    image: int | None = Field(
        default=None, ge=0, le=2**31 - 1, description="Number of the image in its request, from 0."
    )
    image_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="SHA-256 of the file as it was sent, hexadecimal."
    )
    reader: Annotated[str, StringConstraints(pattern=r"^[ -~]{1,64}$")] | None = Field(
        default=None,
        description="Who says so; printable ASCII. A pseudonym will do. Never anything about the patient.",
        examples=["reader-2"],
    )
    read_at: AwareDatetime | None = Field(default=None, description="When; RFC 3339.")


class FeedbackRecorded(_Wire):
    """The receipt of feedback that is on the disk."""

    request_id: str = Field(description="Of the analysis.", examples=["8c5f0a2e9d4b4c1f"])
    image: int = Field(description="Number of the image in its request, from 0.")
    image_sha256: str
    label: Literal["NORMAL", "PNEUMONIA"] | None
    recorded_at: str = Field(description="UTC, RFC 3339.", examples=["2026-11-26T21:00:00.000Z"])


class Health(_Wire):
    """The state of the service and of its model."""

    status: Literal["ok", "starting", "draining", "failing"]
    model: ModelName
    provider: str = Field(description="The execution provider of the live session.", examples=["CPUExecutionProvider"])
    device_requested: Literal["auto", "cpu", "cuda"]
    graph: str = Field(description="The ONNX file of the bundle that is in use.", examples=["model.onnx"])
    precision: Literal["float32", "int8"] = Field(description="Precision of that graph.")
    version: str = Field(description="Of the service.", examples=["0.1.0"])


class ServiceVersion(_Wire):
    """Name and version of the service, and what it records of an analysis."""

    name: Literal["xray-inference"] = "xray-inference"
    version: str = Field(examples=["0.1.0"])
    audit: AuditMode = Field(
        description="`off`: nothing is kept of an analysis. Otherwise the audit log keeps a record without the image: "
        "caller, time, digest of the file, answer; `required`: without that record no answer is given.",
        examples=["off"],
    )


class ReloadedModel(_Wire):
    """The outcome of reading `XRAY_MODEL` again."""

    model: ModelName = Field(description="The model that is served now.")
    previous: ModelName = Field(description="The model that was served before.")
    replaced: bool = Field(description="Whether the two differ.")


class Probe(_Wire):
    """The response to a liveness or readiness probe."""

    status: Literal["ok", "starting", "draining", "failing"]
