"""Measures everything that a report on a model contains."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from contract.bundle import Calibration, Manifest, Measured
from training.data.dataset import Dataset
from training.data.split import Split, split_dataset
from training.errors import TrainingError
from training.evaluation.agreement import Agreement, agreement
from training.evaluation.assess import RANDOM_IMAGES, TEST_PATIENTS, VALIDATION_PATIENTS, all_images_of, graph_predict
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
from training.evaluation.out_of_distribution import GroupResults, ImageGroup, measure_group
from training.evaluation.populations import measure_populations
from training.evaluation.probes import probe
from training.evaluation.stress import stress_table, suite_scores
from training.fitting.environment import Environment
from training.reporting.bands import precision_recall, roc
from training.reporting.schema import (
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
class ExtraData:
    """Additional data that a model is measured on; each part is optional.

    Attributes:
        originals: full-size originals of images of the data folder, with the same file names.
        elsewhere: radiographs of another population than the training data's, with the name of their folder.
        not_chest: images that are not frontal chest radiographs.
    """

    originals: Dataset | None = None
    elsewhere: tuple[str, Dataset] | None = None
    not_chest: list[ImageGroup] = field(default_factory=list)


NO_EXTRA_DATA = ExtraData()


def split_of(manifest: Manifest, data: Dataset) -> Split:
    """Recompute the split that a bundle's network was trained with.

    Raises:
        TrainingError: these are not the images it was trained on, or the manifest does not say how they were split.
    """
    title = f"{manifest.name} {manifest.version}"
    if manifest.provenance.data_fingerprint != data.fingerprint:
        raise TrainingError(
            f"--data: does not contain the images that {title} was trained on, so the held-out patients are not known; "
            "measure other images with --elsewhere, or with the command evaluate"
        )
    known = manifest.provenance.configuration
    if not {"split", "folds", "seed"} <= known.keys():
        raise TrainingError(f"{title}: its manifest does not say how the images were split")
    split = split_dataset(data, known["split"], folds=known["folds"], seed=known["seed"])
    if manifest.results.get("validation", {}).get("images", len(split.validation)) != len(split.validation):
        raise TrainingError(
            f"{title}: the installed library versions split the images differently; use those in manifest.json"
        )
    return split


def measure_report(  # noqa: PLR0913  a bundle in parts, because during export the bundle has no folder yet
    manifest: Manifest,
    graph: bytes,
    data: Dataset,
    split: Split,
    extra: ExtraData,
    *,
    about: str,
    training: TrainingFacts | None = None,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Report:
    """Measure a model for its report.

    Args:
        manifest: the thresholds, calibration and guard of the graph; its digests are not used.
        graph: the ONNX graph.
        data: the images that the split's parts were taken from.
        split: the training, validation and test part.
        extra: additional data to measure on.
        about: Markdown for readers: intended use, warnings, data.
        training: how the network was trained, if known.
        progress: called with the number of shifts of the stress suite done and the total.
    """
    predict, train = graph_predict(graph), data.rows(split.train)
    held_out, validation = data.rows(split.test or split.validation), data.rows(split.validation)
    measured_on, chosen_on = (TEST_PATIENTS, VALIDATION_PATIENTS) if split.test else (RANDOM_IMAGES, RANDOM_IMAGES)
    scores, suite = score(predict, held_out), suite_scores(predict, held_out, train, progress=progress)
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
        **_shortcuts(graph, train, held_out, measured_on, extra.originals),
        agreement=_agreement(predict, extra.originals, data, manifest.threshold),
        elsewhere=_elsewhere(predict, extra.elsewhere, manifest.threshold),
        groups=tuple(measure_groups(manifest, graph, held_out, extra)),
        environment=Environment.here(),
        measured_at=datetime.now(UTC).replace(microsecond=0),
    )


def predictive_values(sensitivity: Measured, specificity: Measured, prevalence: float) -> PredictiveValues:
    """PPV and NPV by Bayes' rule.

    Both rise with sensitivity and with specificity, so combining the ends of both intervals gives an interval of at
    least 95 %.
    """
    positive, negative = {}, {}
    for end in ("value", "low", "high"):
        found, cleared = getattr(sensitivity, end), getattr(specificity, end)
        positive[end] = _fraction(found * prevalence, (1 - cleared) * (1 - prevalence))
        negative[end] = _fraction(cleared * (1 - prevalence), (1 - found) * prevalence)
    return PredictiveValues(prevalence=prevalence, positive=Measured(**positive), negative=Measured(**negative))


def _fraction(right: float, wrong: float) -> float:
    """The fraction of right classifications; 1 if there are none at all."""
    return right / (right + wrong) if right + wrong else 1.0


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
    """Shortcuts in the data, those that the model uses, and how well its features predict the population."""
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
    return measure(score(predict, data), threshold, all_images_of(folder))


def measure_groups(manifest: Manifest, graph: bytes, held_out: Dataset, extra: ExtraData) -> list[GroupResults]:
    """How held-out radiographs, those from elsewhere, and images of other kinds are classified and flagged."""
    radiographs = [("held-out radiographs", held_out)]
    if extra.elsewhere:
        radiographs.append((f"{extra.elsewhere[0]} (radiographs elsewhere)", extra.elsewhere[1]))
    groups = [
        ImageGroup(kind, data.pixels, np.array([radiograph.patient for radiograph in data.radiographs]))
        for kind, data in radiographs
    ]
    return [
        measure_group(graph, group, manifest.threshold, manifest.input_guard) for group in (*groups, *extra.not_chest)
    ]
