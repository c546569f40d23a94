"""Figures of a model of several populations, for each population and for the known groups within it."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contract.bundle import FEATURES, InputGuard, Manifest, Measured
from contract.formats.age import age_band, by_age
from contract.guard import distance
from training.data.dataset import Dataset
from training.data.folder import Radiograph
from training.data.lungs import around, lung_atlas
from training.evaluation.assess import graph_output, graph_predict
from training.evaluation.calibration import calibrated
from training.evaluation.controls import Control
from training.evaluation.evaluate import Results, in_batches, measure
from training.evaluation.evidence import Evidence, measure_evidence
from training.evaluation.metrics import Scores, auc, sensitivity, share, specificity
from training.evaluation.probes import probe, without_bright_details, without_lungs
from training.evaluation.stress import UNSHIFTED, StressTable, stress_table

# Number of healthy training images for the lung atlas.
_HEALTHY = 300


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GroupFigures(_Record):
    """Figures on the held-out images of one source, sex, age band or view, at the threshold for unknown populations."""

    kind: str
    name: str
    images: int
    pneumonia: int
    auc: Measured | None = Field(description="null: only one class.")
    sensitivity: Measured | None
    specificity: Measured | None


class PopulationFigures(_Record):
    """Figures on the held-out images of one population.

    ``unknown`` uses the graph's probability and the manifest's threshold, ``known`` the population's calibration and
    threshold.
    """

    name: str
    description: str
    unknown: Results
    known: Results
    flagged: Measured | None = Field(description="By the input guard; null: the model has none.")
    stress: StressTable
    probes: tuple[Control, ...]
    evidence: Evidence
    groups: tuple[GroupFigures, ...]


def measure_populations(  # noqa: PLR0913, PLR0917  the parts of a bundle, and the images it is measured on
    manifest: Manifest, graph: bytes, train: Dataset, held_out: Dataset, suite: dict[str, Scores], measured_on: str
) -> list[PopulationFigures]:
    """Measure each population of a manifest; empty for a model of one population.

    Args:
        manifest: of the graph.
        graph: float32.
        train: its healthy images define the lung atlas.
        held_out: images of patients who were used neither for training nor for choosing.
        suite: their scores under the stress suite.
        measured_on: describes ``held_out``.
    """
    found = []
    for name in manifest.populations:
        at = np.flatnonzero(held_out.populations == name)
        part = {shift: scores.rows(at) for shift, scores in suite.items()}
        where = f"{measured_on}, population {name}"
        found.append(
            _measured(name, manifest, graph, train.of_population(name), held_out.of_population(name), part, where)
        )
    return found


def _measured(  # noqa: PLR0913, PLR0917  the arguments of measure_populations for one population
    name: str,
    manifest: Manifest,
    graph: bytes,
    train: Dataset,
    held_out: Dataset,
    suite: dict[str, Scores],
    measured_on: str,
) -> PopulationFigures:
    population, predict = manifest.populations[name], graph_predict(graph)
    scores = suite[UNSHIFTED]
    own = population.operating_points[manifest.default_operating_point].threshold
    atlas, well_placed = lung_atlas(train.pixels[train.labels == 0][:_HEALTHY, ..., 0])
    further = {
        "without bright details (text, wires)": without_bright_details,
        "without lungs": without_lungs(around(atlas)),
    }
    return PopulationFigures(
        name=name,
        description=population.description,
        unknown=measure(scores, manifest.threshold, measured_on),
        known=measure(calibrated(scores, population.calibration), own, measured_on),
        flagged=_flagged(graph, manifest.input_guard, held_out, scores),
        stress=stress_table(suite, manifest.threshold, measured_on),
        probes=tuple(probe(predict, held_out, measured_on, further=further)),
        evidence=measure_evidence(graph, held_out, atlas, well_placed),
        groups=tuple(_groups(held_out, scores, manifest.threshold)),
    )


def _flagged(graph: bytes, guard: InputGuard | None, part: Dataset, scores: Scores) -> Measured | None:
    if guard is None:
        return None
    return share(scores, distance(in_batches(graph_output(graph, FEATURES), part.pixels), guard) > guard.threshold)


def _groups(part: Dataset, scores: Scores, threshold: float) -> Iterator[GroupFigures]:
    for kind, group_of in _KINDS.items():
        groups = np.array([group_of(radiograph) for radiograph in part.radiographs])
        for name in sorted({str(group) for group in groups if group}, key=by_age):
            yield _group(kind, name, scores.rows(np.flatnonzero(groups == name)), threshold)


def _group(kind: str, name: str, scores: Scores, threshold: float) -> GroupFigures:
    sick: NDArray[np.bool_] = scores.label == 1
    return GroupFigures(
        kind=kind,
        name=name,
        images=len(sick),
        pneumonia=int(sick.sum()),
        auc=auc(scores) if sick.any() and not sick.all() else None,
        sensitivity=sensitivity(scores, threshold) if sick.any() else None,
        specificity=specificity(scores, threshold) if not sick.all() else None,
    )


_KINDS: dict[str, Callable[[Radiograph], str]] = {
    "source": lambda radiograph: radiograph.source,
    "age": lambda radiograph: "" if radiograph.age is None else age_band(radiograph.age),
    "sex": lambda radiograph: radiograph.sex,
    "view": lambda radiograph: radiograph.view,
}
