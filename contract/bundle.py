"""The model bundle: what training hands to the service.

    models/<name>/<version>/
        model.onnx        the float32 graph
        model.int8.onnx   the same network with 8-bit weights and activations; optional
        manifest.json     what this module reads and writes
        MODEL_CARD.md     intended use, data, results with intervals, limits

Graph, N dynamic: input ``image`` uint8 [N, 200, 200, 1]; outputs ``probability`` float32 [N], of PNEUMONIA,
calibrated; ``heatmap`` float32 [N, h, w], 0..1 evidence for PNEUMONIA; and, where the manifest has an input guard,
``features`` float32 [N, d] for it. A bundle that does not agree with itself is refused whole.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from contract.drift import DriftReference
from contract.image import IMAGE_CONTRACT

MANIFEST = "manifest.json"
GRAPH: Literal["model.onnx"] = "model.onnx"
INT8_GRAPH: Literal["model.int8.onnx"] = "model.int8.onnx"
CARD = "MODEL_CARD.md"
# The graph's input and outputs.
INPUT, PROBABILITY, HEATMAP, FEATURES = "image", "probability", "heatmap", "features"
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
VERSION_PATTERN = r"^[1-9][0-9]{0,8}$"
LABELS: tuple[Literal["NORMAL"], Literal["PNEUMONIA"]] = ("NORMAL", "PNEUMONIA")

CpuGraph = Literal["model.onnx", "model.int8.onnx"]
Fraction = Annotated[float, Field(ge=0, le=1)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class BundleError(Exception):
    """A bundle that must not be served; the message is one line: which file, and why."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Record):
    """A figure between 0 and 1 with its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction


class OperatingPoint(_Record):
    """A threshold, and what it did on the data it was chosen on. PNEUMONIA is ``probability >= threshold``."""

    threshold: Fraction
    sensitivity: Measured
    specificity: Measured
    chosen_on: str = Field(description="The data, and the rule, the threshold was chosen by.")


class CalibrationError(_Record):
    """How far probabilities lie from what happened: expected calibration error (15 equal bins), and Brier score."""

    expected_calibration_error: Fraction
    brier: Fraction


class Calibration(_Record):
    """How the probability was calibrated on validation patients; "none" means that it was not.

    ``platt``: the graph gives ``sigmoid(scale * logit + shift)`` (Platt 1999; with a shift of 0, temperature scaling
    by ``1 / scale``). Both figures are already in the graph and stand here to be known.
    """

    method: Literal["none", "platt"] = "none"
    scale: Annotated[float, Field(gt=0)] = 1.0
    shift: float = 0.0
    fitted_on: str = ""
    before: CalibrationError | None = Field(default=None, description="On held-out patients, uncalibrated.")
    after: CalibrationError | None = Field(default=None, description="On held-out patients, calibrated.")


class InputGuard(_Record):
    """From where on an image is unlike those the model was trained on; the score is ``contract.guard.distance``."""

    location: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="Of each feature in training.")
    scale: tuple[Annotated[float, Field(gt=0)], ...] = Field(description="Of each feature in training.")
    threshold: Annotated[float, Field(gt=0)] = Field(description="A greater score is unlike the training data.")
    false_alarms: Measured = Field(description="Share of held-out radiographs of the training population over it.")
    chosen_on: str
    reference: tuple[float, ...] = Field(description="Scores of validation patients at 0, 5, .. 100 %, for drift.")

    @model_validator(mode="after")
    def _one_scale_each(self) -> Self:
        if len(self.location) != len(self.scale):
            raise ValueError("location and scale must be of one length")
        return self


class Provenance(_Record):
    """Where the weights came from: enough to train them again."""

    git_revision: str
    packages: dict[str, str]
    data_fingerprint: Sha256 = Field(description="SHA-256 over the sorted digests of the training images' pixels.")
    seed: int
    parameters: int = Field(description="Number of trainable weights.")
    configuration: dict[str, Any]


class Manifest(_Record):
    """``manifest.json``."""

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    version: Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]
    labels: tuple[Literal["NORMAL"], Literal["PNEUMONIA"]] = LABELS
    image_contract: int
    files: dict[FileName, Sha256]
    default_operating_point: str
    operating_points: dict[str, OperatingPoint]
    calibration: Calibration
    input_guard: InputGuard | None = Field(default=None, description="null: this model has none.")
    drift_reference: DriftReference | None = Field(default=None, description="null: nothing to compare images with.")
    cpu_graph: CpuGraph = Field(
        default=GRAPH, description="Which graph a CPU runs unless told otherwise; chosen by measurement."
    )
    heatmap_method: str
    results: dict[str, Any] = Field(description="What was measured on held-out patients.")
    provenance: Provenance
    created_at: datetime

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.default_operating_point not in self.operating_points:
            raise ValueError(f"there is no operating point {self.default_operating_point!r}")
        if missing := {GRAPH, self.cpu_graph, CARD} - self.files.keys():
            raise ValueError(f"no digest of {', '.join(sorted(missing))}")
        return self

    @property
    def threshold(self) -> float:
        """The threshold of the default operating point."""
        return self.operating_points[self.default_operating_point].threshold


class Bundle(_Record):
    """A bundle whose manifest and digests have been checked: the bytes are those that were checked."""

    manifest: Manifest
    graph: bytes = Field(repr=False)
    int8_graph: bytes | None = Field(default=None, repr=False)
    card: str = Field(repr=False)


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and check all of it.

    Raises:
        BundleError: naming the file and what is wrong with it.
    """
    manifest = _read_manifest(folder)
    if manifest.image_contract != IMAGE_CONTRACT:
        raise BundleError(
            f"{folder / MANIFEST}: made for image contract {manifest.image_contract}, this service has {IMAGE_CONTRACT}"
        )
    contents = {name: _read_file(folder / name) for name in manifest.files}
    for name, digest in manifest.files.items():
        if sha256(contents[name]) != digest:
            raise BundleError(
                f"{folder / name}: its SHA-256 is not the one in {MANIFEST}; the file was changed or cut short"
            )
    return Bundle(
        manifest=manifest,
        graph=contents[GRAPH],
        int8_graph=contents.get(INT8_GRAPH),
        card=contents[CARD].decode(errors="replace"),
    )


def write_bundle(folder: Path, manifest: Manifest, contents: dict[str, bytes]) -> None:
    """Write the files of a bundle, the manifest last, so that a bundle cut short in writing is refused.

    Raises:
        BundleError: the folder holds a bundle already (old versions are never edited), or a digest does not match.
    """
    refuse_occupied(folder)
    if {name: sha256(data) for name, data in contents.items()} != manifest.files:
        raise BundleError(f"{folder}: the manifest's digests are not those of the files")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a bundle whose files are there."""
    partial = folder / f"{MANIFEST}.partial"
    partial.write_text(manifest.model_dump_json(indent=2) + "\n")
    partial.replace(folder / MANIFEST)  # a reader never sees half of it


def refuse_occupied(folder: Path) -> None:
    """See that a folder holds no bundle yet.

    Raises:
        BundleError: it does, and old versions are never edited.
    """
    if (folder / MANIFEST).exists():
        raise BundleError(f"{folder}: holds a bundle already; give a new version")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(_read_file(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise BundleError(f"{path}: {where}: {first['msg']}") from None


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or 'cannot be read'}") from None
