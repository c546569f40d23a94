"""The model bundle, which training writes and the service reads.

    models/<name>/<version>/
        model.onnx        the float32 graph
        model.int8.onnx   the same network with 8-bit weights and activations; optional
        manifest.json     metadata, read and written by this module
        MODEL_CARD.md     intended use, data, results with intervals, limits
        manifest.json.sig signature of the manifest; optional, and checked by the service alone

Graph, N dynamic: input ``image`` uint8 [N, 200, 200, 1]; outputs ``probability`` float32 [N], of PNEUMONIA,
calibrated; ``heatmap`` float32 [N, h, w], 0..1 evidence for PNEUMONIA; and, where the manifest has an input guard,
``features`` float32 [N, d] for it. A bundle that is inconsistent in any part is refused as a whole.
"""

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from contract.drift import DriftReference
from contract.figures import Calibration, CalibrationError, InputGuard, Measured, OperatingPoint, Population, Record
from contract.graph import GraphError, check_graph
from contract.image import IMAGE_CONTRACTS
from contract.io.files import write_file
from contract.io.messages import first_error
from contract.site import Site

# Other modules import all parts of a manifest from here.
__all__ = ["Calibration", "CalibrationError", "InputGuard", "Measured", "OperatingPoint", "Population"]

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
GRAPH: Literal["model.onnx"] = "model.onnx"
INT8_GRAPH: Literal["model.int8.onnx"] = "model.int8.onnx"
CARD = "MODEL_CARD.md"
# The graph's input and outputs.
INPUT, PROBABILITY, HEATMAP, FEATURES = "image", "probability", "heatmap", "features"
# The name by which a request says that the population of its images is not known; no population has it.
UNKNOWN_POPULATION = "unknown"
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
    """The origin of the weights: everything needed to train them again."""

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
    image_contract: int = Field(
        description="The version of the image contract that decodes images, in training and in the service."
    )
    files: dict[FileName, Sha256]
    default_operating_point: str
    operating_points: dict[str, OperatingPoint]
    calibration: Calibration
    populations: dict[PopulationName, Population] = Field(
        default={},
        description="Calibration and operating points for images whose population is known. For all other images, the "
        "graph's probability and the manifest's own operating points apply, chosen for all populations together.",
    )
    site: Site | None = Field(default=None, description="null: operating points and calibration are the model's own.")
    input_guard: InputGuard | None = Field(default=None, description="null: this model has no input guard.")
    drift_reference: DriftReference | None = Field(default=None, description="null: drift cannot be measured.")
    cpu_graph: CpuGraph = Field(
        default=GRAPH, description="The graph that a CPU runs unless configured otherwise; chosen by measurement."
    )
    heatmap_method: str
    results: dict[str, Any] = Field(description="Figures on held-out patients.")
    provenance: Provenance
    created_at: datetime

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.default_operating_point not in self.operating_points:
            raise ValueError(f"operating_points has no {self.default_operating_point!r}, which is the default")
        if missing := {GRAPH, self.cpu_graph, CARD} - self.files.keys():
            raise ValueError(f"no digest of {', '.join(sorted(missing))}")
        for name, population in self.populations.items():
            if name == UNKNOWN_POPULATION:
                raise ValueError(f"no population can be called {name!r}, which stands for none")
            if population.operating_points.keys() != self.operating_points.keys():
                raise ValueError(f"population {name!r} has other operating points than the manifest")
        if self.site and self.site.population not in {None, *self.populations}:
            raise ValueError(f"site: there is no population {self.site.population!r}")
        return self

    @property
    def threshold(self) -> float:
        """The threshold of the default operating point."""
        return self.operating_points[self.default_operating_point].threshold


class Bundle(Record):
    """A bundle whose manifest and digests have been checked. It holds the checked bytes, so later changes on disk do
    not matter.
    """

    manifest: Manifest
    graph: bytes = Field(repr=False)
    int8_graph: bytes | None = Field(default=None, repr=False)
    card: str = Field(repr=False)
    manifest_bytes: bytes = Field(default=b"", repr=False, description="The file, as it was read and may be signed.")
    signature: bytes | None = Field(default=None, repr=False, description="Not checked yet.")

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's content, and so of all files of the bundle. Equal for equal bundles only."""
        return sha256(self.manifest.model_dump_json().encode())


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def find_bundle(path: Path) -> Path:
    """The folder of the bundle that a path names, without symbolic links.

    Args:
        path: the folder of a bundle; or of its versions, which names the highest one that has a manifest.
    """
    # Path raises where a folder may not be entered, links lead in a loop or a name is too long; reading then says so.
    folder = Path(os.path.realpath(path))
    if os.path.exists(folder / MANIFEST):  # noqa: PTH110
        return folder
    versions = [name for name in _names(folder) if re.fullmatch(VERSION_PATTERN, name)]
    found = [name for name in versions if os.path.exists(folder / name / MANIFEST)]  # noqa: PTH110
    return folder / max(found, key=int) if found else path


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except OSError:
        return []


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and check all of it.

    Raises:
        BundleError: the message names the file and the fault.
    """
    manifest_bytes = _read_file(folder / MANIFEST)
    manifest = _parse_manifest(folder / MANIFEST, manifest_bytes)
    if manifest.image_contract not in IMAGE_CONTRACTS:
        known = ", ".join(str(number) for number in IMAGE_CONTRACTS)
        raise BundleError(
            f"{folder / MANIFEST}: made for image contract {manifest.image_contract}; this version supports {known}"
        )
    contents = {name: _read_file(folder / name) for name in manifest.files}
    for name, digest in manifest.files.items():
        if sha256(contents[name]) != digest:
            raise BundleError(
                f"{folder / name}: SHA-256 differs from {MANIFEST}; the file was changed or is incomplete, copy the "
                "bundle again"
            )
    for name in {GRAPH, INT8_GRAPH} & contents.keys():
        try:
            check_graph(contents[name], INPUT)
        except GraphError as error:
            raise BundleError(f"{folder / name}: {error}") from None
    return Bundle(
        manifest=manifest,
        graph=contents[GRAPH],
        int8_graph=contents.get(INT8_GRAPH),
        card=contents[CARD].decode(errors="replace"),
        manifest_bytes=manifest_bytes,
        signature=_read_file(folder / SIGNATURE) if (folder / SIGNATURE).exists() else None,
    )


def write_bundle(folder: Path, manifest: Manifest, contents: dict[str, bytes]) -> None:
    """Write the files of a bundle, the manifest last, so that an incompletely written bundle is refused.

    Raises:
        BundleError: the folder already holds a bundle (published versions are never edited), or a digest is wrong.
    """
    refuse_occupied(folder)
    if {name: sha256(data) for name, data in contents.items()} != manifest.files:
        raise BundleError(f"{folder}: the manifest's digests differ from those of the files")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a bundle whose other files are written already."""
    write_file(folder / MANIFEST, f"{manifest.model_dump_json(indent=2)}\n".encode(), durable=False)


def refuse_occupied(folder: Path) -> None:
    """Check that a folder holds no bundle yet.

    Raises:
        BundleError: it holds one, or the signature of one; published versions are never edited.
    """
    if (folder / MANIFEST).exists() or (folder / SIGNATURE).exists():
        raise BundleError(f"{folder}: already holds a bundle; choose a new version number")


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        where, words = first_error(error)
        raise BundleError(f"{path}: {where or 'whole file'}: {words}") from None


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or 'cannot be read'}") from None
