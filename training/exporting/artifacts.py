"""The parts of a bundle, made from a run: calibration, guard, verified graph, operating points and the int8 graph.

Everything is fitted on training images or chosen on validation patients; the test part is only measured on.
"""

from dataclasses import dataclass

import numpy as np

from contract.bundle import Calibration, InputGuard, OperatingPoint, Population
from training.data.dataset import Dataset
from training.evaluation.assess import Parts, graph_predict, keras_predict
from training.evaluation.calibration import calibration_error, fit_calibration, uncalibrated
from training.evaluation.evaluate import in_batches, score
from training.evaluation.int8 import Int8Check, compare
from training.evaluation.metrics import Scores
from training.exporting.guard import fit_guard, fit_guards, of_training, projection_of
from training.exporting.onnx import VERIFIED_BATCHES, export_graph, verify
from training.exporting.points import DEFAULT, choose_points, shifted_scores
from training.exporting.populations import fit_populations
from training.exporting.quantise import CALIBRATION_IMAGES, KEPT, quantise
from training.fitting.run import Run
from training.networks.features import has_layout
from training.networks.heatmap import QUIET_SHARE, has_switches
from training.networks.readout import Readout


@dataclass(frozen=True, slots=True, eq=False)
class Artifacts:
    """The parts of a bundle except its model card.

    Attributes:
        readout: the Keras network with all served outputs.
        graph: the same as a float32 ONNX graph.
        int8_graph: the same with 8-bit weights; None if that changes the results too much (see ``int8``).
        calibration: already applied inside the graphs.
        points: the operating points by name.
        guard: None for a network without layout maps.
        difference: the greatest difference between the outputs of Keras and onnxruntime.
        int8: the comparison of the int8 graph with the float32 graph; None for a network that is not quantised.
        populations: operating points and calibration for images of a known population.
    """

    readout: Readout
    graph: bytes
    int8_graph: bytes | None
    calibration: Calibration
    points: dict[str, OperatingPoint]
    guard: InputGuard | None
    difference: float
    int8: Int8Check | None
    populations: dict[str, Population]


def make_artifacts(run: Run, data: Dataset) -> Artifacts:
    """Make all parts of the bundle of a run.

    Raises:
        ExportError: the graph's outputs differ from the network's.
    """
    model, seed, parts = run.best_model(), run.config.seed, Parts.of(data, run.split)
    calibration = fit_calibration(score(keras_predict(model), parts.validation), parts.chosen_on)
    raw = Readout(model)
    layouts = of_training(raw.layouts, parts.train, seed) if has_layout(model) else None
    of_whom = np.tile(parts.train.populations, 2)
    projection = None if layouts is None else projection_of(layouts, of_whom)
    readout = Readout(model, calibration, projection, 0.0 if has_switches(model) else _quiet(raw, parts.train))
    graph = export_graph(readout)
    difference = verify(graph, readout, parts.validation.pixels[: max(VERIFIED_BATCHES)])
    predict = graph_predict(graph)
    shifted = {name: shifted_scores(predict, part, seed) for name, part in parts.validation.by_population().items()}
    points = choose_points(list(shifted.values()), parts.chosen_on)
    populations = fit_populations(predict, parts, shifted) if data.people else {}
    calibration = _with_errors(calibration, score(predict, parts.held_out))
    if projection is None or layouts is None:
        return Artifacts(readout, graph, None, calibration, points, None, difference, None, populations)
    features = layouts @ projection.components
    guard = (
        fit_guards(features, of_whom, readout.features, parts.validation)
        if len(shifted) > 1
        else fit_guard(features, readout.features, parts.validation)
    )
    int8_graph, int8 = _int8(graph, parts, points[DEFAULT].threshold, guard)
    return Artifacts(readout, graph, int8_graph, calibration, points, guard, difference, int8, populations)


def _int8(graph: bytes, parts: Parts, threshold: float, guard: InputGuard) -> tuple[bytes | None, Int8Check]:
    """The int8 graph, or None if it changes the results too much, and the comparison with the float32 graph.

    Which convolutions stay in float32 is chosen on validation patients; the comparison is on held-out ones.
    """
    known = parts.train.pixels[:: max(1, len(parts.train.pixels) // CALIBRATION_IMAGES)]
    for kept in KEPT:
        int8_graph = quantise(graph, known, kept)
        if compare(graph, int8_graph, parts.validation, parts.chosen_on, threshold, guard).keeps_results:
            break
    check = compare(graph, int8_graph, parts.held_out, parts.measured_on, threshold, guard)
    return int8_graph if check.acceptable else None, check


def _quiet(raw: Readout, train: Dataset) -> float:
    """The contribution that nearly all places of NORMAL training images (QUIET_SHARE) do not exceed."""
    return float(np.quantile(in_batches(raw.places, train.pixels[train.labels == 0]), QUIET_SHARE))


def _with_errors(calibration: Calibration, scores: Scores) -> Calibration:
    """Add the calibration errors before and after calibration on held-out images."""
    before, after = calibration_error(uncalibrated(scores, calibration)), calibration_error(scores)
    return calibration.model_copy(update={"before": before, "after": after})
