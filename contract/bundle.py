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

from pydantic import Field, StringConstraints, ValidationError, model_validator

from contract.drift import DriftReference
from contract.figures import Calibration, CalibrationError, InputGuard, Measured, OperatingPoint, Population, Record
from contract.image import IMAGE_CONTRACTS

# Callers take all parts of a manifest from here.
__all__ = ["Calibration", "CalibrationError", "InputGuard", "Measured", "OperatingPoint", "Population"]

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
PopulationName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class BundleError(Exception):
    """A bundle that must not be served; the message is one line: which file, and why."""


class Provenance(Record):
    """Where the weights came from: enough to train them again."""

    git_revision: str
    packages: dict[str, str]
    data_fingerprint: Sha256 = Field(description="SHA-256 over the sorted digests of the training images' pixels.")
    seed: int
    parameters: int = Field(description="Number of trainable weights.")
    configuration: dict[str, Any]


class Manifest(Record):
    """``manifest.json``."""

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    version: Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]
    labels: tuple[Literal["NORMAL"], Literal["PNEUMONIA"]] = LABELS
    image_contract: int = Field(description="The rules by which images were decoded in training, and are in serving.")
    files: dict[FileName, Sha256]
    default_operating_point: str
    operating_points: dict[str, OperatingPoint]
    calibration: Calibration
    populations: dict[PopulationName, Population] = Field(
        default={},
        description="What holds where the population of an image is known. Where it is not, the graph's probability "
        "and the manifest's own operating points hold, which are chosen for all populations together.",
    )
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
        for name, population in self.populations.items():
            if population.operating_points.keys() != self.operating_points.keys():
                raise ValueError(f"population {name!r} has other operating points than the manifest")
        return self

    @property
    def threshold(self) -> float:
        """The threshold of the default operating point."""
        return self.operating_points[self.default_operating_point].threshold


class Bundle(Record):
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
    if manifest.image_contract not in IMAGE_CONTRACTS:
        known = ", ".join(str(number) for number in IMAGE_CONTRACTS)
        raise BundleError(
            f"{folder / MANIFEST}: made for image contract {manifest.image_contract}, this service has {known}"
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
