"""Fits the input guard: the distribution of features over training images, and the threshold beyond it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.bundle import InputGuard, Measured
from contract.drift import quantiles
from contract.figures import Familiar
from contract.guard import distance
from training.augmentation.augment import slight
from training.data.dataset import Dataset
from training.evaluation.evaluate import Predict, in_batches
from training.evaluation.metrics import Scores, share
from training.networks.features import Projection, fit_projection, separating, separating_count

# Enough components to detect what is unlike any radiograph, few enough to estimate from 4,000 images: see
# docs/experiments.md.
COMPONENTS = 500


class Rule(NamedTuple):
    """How the threshold is chosen: the fraction of the validation images, and of so many slightly changed copies of
    each, that is flagged. docs/experiments.md has the results of other rules.
    """

    false_alarms: float
    copies: int


# A quarter of the 2 % that is acceptable, because the samples are small.
ALONE = Rule(0.005, 0)
# With several populations, half of those 2 %: with less, lateral views pass as frontal views of the other population.
# And copies, since one in a hundred of a population's 300 images are three images.
OF_SEVERAL = Rule(0.01, 4)
# How many features each direction that tells populations apart counts as: the least with which 98 % of validation
# images are covered by one population only (docs/experiments.md).
SEPARATION = 15


def of_training(extract: Predict, train: Dataset, seed: int) -> NDArray[np.float32]:
    """Layouts or features (2n, d) of n training images and of a slightly changed copy of each, which must count as
    familiar too.
    """
    return np.concatenate([in_batches(extract, pixels) for pixels in (train.pixels, changed(train.pixels, seed))])


def changed(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A slightly changed copy of each of these images (n, 200, 200, 1)."""
    rng = np.random.default_rng(seed)
    return np.stack([slight(row, rng) for row in pixels[..., 0]])[..., np.newaxis]


def projection_of(layouts: NDArray[np.float32], populations: NDArray[np.str_]) -> Projection:
    """The projection of layouts (n, d): principal components and, of several populations, what tells them apart."""
    principal = fit_projection(centred(layouts, populations), COMPONENTS)
    if len(np.unique(populations)) == 1:
        return principal
    return principal.extended(separating(layouts @ principal.components, populations))


def centred(layouts: NDArray[np.float32], populations: NDArray[np.str_]) -> NDArray[np.float32]:
    """Subtract the mean of each row's population from layouts (n, d); the differences within populations remain."""
    result = layouts.copy()
    for name in np.unique(populations):
        result[populations == name] -= layouts[populations == name].mean(0)
    return result


def fit_guards(
    features: NDArray[np.float32], populations: NDArray[np.str_], extract: Predict, validation: Dataset
) -> InputGuard:
    """Fit the guard of a model of several populations.

    Args:
        features: float (n, k), of the training images; the last are those of ``training.networks.features.separating``.
        populations: (n,), the population of each.
        extract: computes the features of the validation images.
        validation: images of other patients.
    """
    weight = np.ones(features.shape[1])
    weight[-separating_count(populations) :] = SEPARATION
    familiar = {
        str(name): _familiar(features[populations == name], extract, validation.of_population(str(name)), weight)
        for name in np.unique(populations)
    }
    guard = InputGuard(
        populations=familiar,
        threshold=1,
        false_alarms=Measured(value=0, low=0, high=1),
        chosen_on=f"validation patients: {OF_SEVERAL.false_alarms:.1%} of each population's images, and of "
        f"{OF_SEVERAL.copies} slightly changed copies of each, are unlike it",
        reference=(),
    )
    scores = distance(in_batches(extract, validation.pixels), guard)
    false_alarms = share(Scores.of(validation, scores), scores > guard.threshold)
    return guard.model_copy(update={"false_alarms": false_alarms, "reference": quantiles(scores, 4)})


def _familiar(
    features: NDArray[np.float32], extract: Predict, validation: Dataset, weight: NDArray[np.float64]
) -> Familiar:
    """The guard's part for one population."""
    guard = fit_guard(features, extract, validation, OF_SEVERAL, weight)
    return Familiar(**guard.model_dump(include={"location", "scale", "threshold", "false_alarms"}))


def fit_guard(
    features: NDArray[np.float32],
    extract: Predict,
    validation: Dataset,
    rule: Rule = ALONE,
    weight: NDArray[np.float64] | float = 1.0,
) -> InputGuard:
    """Fit the guard's statistics on training images and choose its threshold on validation patients.

    Args:
        features: float (n, k), of the training images.
        extract: computes the features of the validation images.
        validation: images of other patients. The guard's ``false_alarms`` are measured on them; a report measures
            those of the test part.
        rule: how the threshold is chosen.
        weight: how many features each one counts as, (k,).
    """
    deviation = features.std(0, dtype=np.float64).clip(1e-6) / np.sqrt(weight)
    fitted = InputGuard(
        location=tuple(features.mean(0, dtype=np.float64).tolist()),
        scale=tuple(deviation.tolist()),
        threshold=1,
        false_alarms=Measured(value=0, low=0, high=1),
        chosen_on="",
        reference=(),
    )
    scores = distance(in_batches(extract, validation.pixels), fitted)
    copies = [in_batches(extract, changed(validation.pixels, seed)) for seed in range(rule.copies)]
    chosen_on = np.concatenate([scores, *(distance(features, fitted) for features in copies)])
    threshold = round(float(np.quantile(chosen_on, 1 - rule.false_alarms)), 4)
    return fitted.model_copy(
        update={
            "threshold": threshold,
            "false_alarms": share(Scores.of(validation, scores), scores > threshold),
            "chosen_on": f"validation patients: {rule.false_alarms:.1%} of their images score above it",
            "reference": quantiles(scores, 4),
        }
    )
