"""Measuring everything that a report says of a model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from contract.bundle import Calibration, Manifest, Measured
from training.data.dataset import Dataset
from training.data.split import Split, split_dataset
from training.errors import TrainingError
from training.evaluation.agreement import Agreement, agreement
from training.evaluation.assess import RANDOM_IMAGES, TEST_PATIENTS, VALIDATION_PATIENTS, everyone, graph_predict
from training.evaluation.calibration import calibration_error, uncalibrated
from training.evaluation.controls import Control, run_controls, run_file_controls
from training.evaluation.evaluate import Predict, Results, measure, score
from training.evaluation.metrics import (
    Scores,
    confusion,
    reliability,
    sensitivity,
    specificity,
)
from training.evaluation.origin import tell_origin
from training.evaluation.outside import Group, Pictures, ask
from training.evaluation.populations import measure_populations
from training.evaluation.probes import probe
from training.evaluation.stress import stress_table, suite_scores
from training.fitting.environment import Environment
from training.reporting.bands import precision_recall, roc
from training.reporting.record import (
    PREVALENCES,
    ModelFacts,
    PointFigures,
    PredictiveValues,
    Reliability,
    Report,
    SplitFacts,
    TrainingFacts,
)


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """What a model is measured on besides, as far as it is at hand.

    Attributes:
        originals: full-size files of images of the data folder, under the same names.
        elsewhere: radiographs of other people than it was trained for, with the name of their folder.
        foreign: images that are no frontal chest radiographs.
    """

    originals: Dataset | None = None
    elsewhere: tuple[str, Dataset] | None = None
    foreign: list[Pictures] = field(default_factory=list)


NO_OTHERS = Others()


def split_of(manifest: Manifest, data: Dataset) -> Split:
    """The split a bundle's network was trained with, drawn again.

    Raises:
        TrainingError: these are not the images it was trained on, or the manifest does not say how they were split.
    """
    title = f"{manifest.name} {manifest.version}"
    if manifest.provenance.data_fingerprint != data.fingerprint:
        raise TrainingError(
            f"--data: does not hold the images {title} was trained on, so who was held out is not known; "
            "other images are measured with --elsewhere, or with: evaluate"
        )
    known = manifest.provenance.configuration
    if not {"split", "folds", "seed"} <= known.keys():
        raise TrainingError(f"{title}: its manifest does not say how the images were split")
    split = split_dataset(data, known["split"], folds=known["folds"], seed=known["seed"])
    if manifest.results.get("validation", {}).get("images", len(split.validation)) != len(split.validation):
        raise TrainingError(f"{title}: its split cannot be drawn again by this version of the libraries")
    return split


def measure_report(  # noqa: PLR0913  a bundle by its parts, for a bundle that is being made has no folder yet
    manifest: Manifest,
    graph: bytes,
    data: Dataset,
    split: Split,
    others: Others,
    *,
    about: str,
    training: TrainingFacts | None = None,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Report:
    """Measure all of it.

    Args:
        manifest: says which thresholds, calibration and guard the graph has; its digests are not looked at.
        graph: the ONNX graph.
        data: the images it was trained on and held out from.
        split: which is which.
        others: what else it is measured on.
        about: for people, Markdown: intended use, warnings, data.
        training: where it is known.
        progress: called with the shifts of the stress suite done, and all.
    """
    predict = graph_predict(graph)
    held_out, validation = data.rows(split.test or split.validation), data.rows(split.validation)
    measured_on = TEST_PATIENTS if split.test else RANDOM_IMAGES
    chosen_on = VALIDATION_PATIENTS if split.test else RANDOM_IMAGES
    scores, train = score(predict, held_out), data.rows(split.train)
    suite = suite_scores(predict, held_out, train, progress=progress)
    return Report(
        model=ModelFacts.of(manifest),
        about=about,
        training=training,
        split=_split_facts(split),
        held_out=measure(scores, manifest.threshold, measured_on),
        validation=measure(score(predict, validation), manifest.threshold, chosen_on),
        points={name: _point(scores, point.threshold) for name, point in manifest.operating_points.items()},
        roc=roc(scores),
        precision_recall=precision_recall(scores),
        calibrated=_reliability(scores),
        uncalibrated=_uncalibrated(scores, manifest.calibration),
        stress=stress_table(suite, manifest.threshold, measured_on),
        populations=tuple(measure_populations(manifest, graph, train, held_out, suite, measured_on)),
        **_shortcuts(graph, train, held_out, measured_on, others.originals),
        agreement=_agreement(predict, others.originals, data, manifest.threshold),
        elsewhere=_elsewhere(predict, others.elsewhere, manifest.threshold),
        groups=tuple(_groups(manifest, graph, held_out, others)),
        environment=Environment.here(),
        measured_at=datetime.now(UTC).replace(microsecond=0),
    )


def predictive_values(sensitivity: Measured, specificity: Measured, prevalence: float) -> PredictiveValues:
    """Bayes' rule. Both values rise with sensitivity and with specificity, so the ends of both intervals together give
    an interval that is no narrower than 95 %.
    """
    positive, negative = {}, {}
    for end in ("value", "low", "high"):
        found, cleared = getattr(sensitivity, end), getattr(specificity, end)
        positive[end] = _of(found * prevalence, (1 - cleared) * (1 - prevalence))
        negative[end] = _of(cleared * (1 - prevalence), (1 - found) * prevalence)
    return PredictiveValues(prevalence=prevalence, positive=Measured(**positive), negative=Measured(**negative))


def _of(part: float, other: float) -> float:
    """The part's share of both. Where nothing is called so, no call is wrong."""
    return part / (part + other) if part + other else 1.0


def _point(scores: Scores, threshold: float) -> PointFigures:
    found, cleared = sensitivity(scores, threshold), specificity(scores, threshold)
    prevalences = sorted({*PREVALENCES, round(float(scores.label.mean()), 2)})
    return PointFigures(
        threshold=threshold,
        sensitivity=found,
        specificity=cleared,
        confusion=confusion(scores, threshold),
        predictive_values=tuple(predictive_values(found, cleared, share) for share in prevalences),
    )


def _reliability(scores: Scores) -> Reliability:
    return Reliability(error=calibration_error(scores), bins=tuple(reliability(scores)))


def _uncalibrated(scores: Scores, calibration: Calibration) -> Reliability | None:
    return _reliability(uncalibrated(scores, calibration)) if calibration.method == "platt" else None


def _split_facts(split: Split) -> SplitFacts:
    counts = {part: len(getattr(split, part)) for part in ("train", "validation", "test")}
    return SplitFacts(strategy=split.strategy, **counts)


def _shortcuts(
    graph: bytes, train: Dataset, held_out: Dataset, measured_on: str, originals: Dataset | None
) -> dict[str, tuple[Control, ...]]:
    """What lies in the data, what the model takes of it, and what it knows of the population."""
    files = run_file_controls(originals) if originals else []
    return {
        "controls": (*run_controls(train, held_out, measured_on), *files),
        "probes": tuple(probe(graph_predict(graph), held_out, measured_on)),
        "origin": tuple(tell_origin(graph, train, held_out, measured_on)),
    }


def _agreement(predict: Predict, originals: Dataset | None, data: Dataset, threshold: float) -> Agreement | None:
    return agreement(predict, originals, data, threshold) if originals else None


def _elsewhere(predict: Predict, elsewhere: tuple[str, Dataset] | None, threshold: float) -> Results | None:
    if elsewhere is None:
        return None
    folder, data = elsewhere
    return measure(score(predict, data), threshold, everyone(folder))


def _groups(manifest: Manifest, graph: bytes, held_out: Dataset, others: Others) -> list[Group]:
    radiographs = [("held-out radiographs", held_out)]
    if others.elsewhere:
        radiographs.append((f"{others.elsewhere[0]} (radiographs elsewhere)", others.elsewhere[1]))
    pictures = [
        Pictures(kind, data.pixels, np.array([radiograph.patient for radiograph in data.radiographs]))
        for kind, data in radiographs
    ]
    return [ask(graph, each, manifest.threshold, manifest.input_guard) for each in (*pictures, *others.foreign)]
