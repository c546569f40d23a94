"""The populations of a manifest: for each, a calibration of the graph's output, and operating points."""

from contract.bundle import Population
from training.evaluation.assess import Parts
from training.evaluation.calibration import calibrated, calibration_error, fit_calibration
from training.evaluation.evaluate import Predict, score
from training.evaluation.metrics import Scores
from training.exporting.points import choose_points


def fit_populations(predict: Predict, parts: Parts, shifted: dict[str, Scores]) -> dict[str, Population]:
    """Fit the populations on validation patients, and measure their calibration on held-out patients.

    Args:
        predict: the graph, calibrated on all populations together.
        parts: of a dataset that describes the populations.
        shifted: scores of the validation part by population, from ``training.exporting.points.shifted_scores``.
    """
    held_out = parts.held_out.by_population()
    found = {}
    for name, validation in parts.validation.by_population().items():
        people = parts.validation.people[name]
        chosen_on = f"{parts.chosen_on}, population {name}"
        calibration = fit_calibration(score(predict, validation), chosen_on)
        before = score(predict, held_out[name])
        errors = {
            "before": calibration_error(before),
            "after": calibration_error(calibrated(before, calibration)),
        }
        found[name] = Population(
            **people.model_dump(),
            operating_points=choose_points([calibrated(shifted[name], calibration)], chosen_on),
            calibration=calibration.model_copy(update=errors),
            prevalence=float(validation.labels.mean()),
        )
    return found
