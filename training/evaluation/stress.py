"""The stress suite: images of held-out patients, changed as another hospital's machines, operators and files would.

How far the figures fall under these shifts indicates how far they may fall at another hospital, before any data from
there has been measured. Nothing is fitted here, and the threshold stays the one chosen on validation patients.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.bundle import Measured
from training.augmentation import shifts
from training.augmentation.shifts import Cdf, Pixels
from training.data.dataset import Dataset
from training.evaluation.evaluate import Predict, score
from training.evaluation.metrics import Scores, auc, sensitivity, specificity

# realistic: what another hospital may do. swapped: each image gets the appearance of the other class, so a network that
# relies on the appearance is wrong. guard: the input guard should flag it; no network is expected to classify it.
Kind = Literal["realistic", "swapped", "guard"]


@dataclass(frozen=True, slots=True)
class Draw:
    """The inputs of a shift besides the pixels.

    Attributes:
        rng: the image's own random numbers.
        label: 1 for PNEUMONIA; only the swapped shifts use it.
        others: cumulative histograms of training images of the other class, shape (n, 256).
    """

    rng: np.random.Generator
    label: int
    others: Cdf

    def side(self, size: float) -> float:
        """The size with a random sign."""
        return float(self.rng.choice([-size, size]))

    def look(self) -> Cdf:
        """The cumulative histogram of a random training image of the other class, shape (256,)."""
        look: Cdf = self.others[self.rng.integers(len(self.others))]
        return look


Shift = Callable[[Pixels, Draw], Pixels]
UNSHIFTED = "as it is"
_NO_LOOK = np.empty((0, 256))


class Shifted(BaseModel):
    """The figures under one shift."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: str
    kind: Kind
    auc: Measured
    sensitivity: Measured
    specificity: Measured

    @property
    def balanced_accuracy(self) -> float:
        """The mean of sensitivity and specificity."""
        return (self.sensitivity.value + self.specificity.value) / 2


class StressTable(BaseModel):
    """The results of the suite. The worst and mean figures are over the realistic shifts alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_on: str
    images: int
    patients: int
    threshold: float
    seed: int
    unshifted: Shifted
    shifts: tuple[Shifted, ...]
    worst_auc: float
    worst_shift: str
    mean_auc: float
    worst_balanced_accuracy: float
    mean_balanced_accuracy: float


def _plain(shift: Callable[[Pixels], Pixels]) -> Shift:
    return lambda pixels, _: shift(pixels)


def _levels(name: str, shift: Callable[..., Pixels], option: str, *values: float) -> dict[str, Shift]:
    return {f"{name} {value:g}": _plain(partial(shift, **{option: value})) for value in values}


def _markers(pixels: Pixels, _: Draw) -> Pixels:
    return shifts.marker(shifts.marker(pixels, "L", 0.05, 0.05, 24), "PORTABLE", 0.6, 0.9, 12)


def _swapped_look(pixels: Pixels, draw: Draw) -> Pixels:
    """Swap sharpness and coding: in this data NORMAL is sharp and finely coded, PNEUMONIA soft and coarsely coded."""
    matched = shifts.match_histogram(pixels, draw.look())
    return shifts.sharpen(matched, 0.8) if draw.label else shifts.jpeg(shifts.blur(matched, 1), 35)


def _swapped_aspect(pixels: Pixels, draw: Draw) -> Pixels:
    """Swap the aspect ratio: in this data PNEUMONIA was wider before squashing, so widen it and narrow NORMAL."""
    return shifts.affine(pixels, zoom_x=1.15 if draw.label else 0.9)


REALISTIC: dict[str, Shift] = {
    **_levels("gamma", shifts.gamma, "exponent", 0.5, 0.7, 1.4, 2),
    **_levels("contrast", shifts.contrast, "factor", 0.5, 1.4),
    "darker": _plain(partial(shifts.contrast, factor=0.9, offset=-45)),
    "brighter": _plain(partial(shifts.contrast, factor=0.9, offset=45)),
    "equalised histogram": _plain(shifts.equalise),
    "collimation 6 to 8 %": _plain(partial(shifts.collimate, left=0.08, top=0.06, right=0.08, bottom=0.06)),
    "crop 8 %": _plain(partial(shifts.crop, left=0.08, top=0.08, right=0.08, bottom=0.08)),
    "zoom out 15 %": _plain(partial(shifts.affine, zoom_x=0.85, zoom_y=0.85)),
    "position 8 %": lambda pixels, draw: shifts.affine(pixels, shift_x=draw.side(0.08), shift_y=draw.side(0.08)),
    "rotation 10 degrees": lambda pixels, draw: shifts.affine(pixels, rotation=draw.side(10)),
    "wider 20 %": _plain(partial(shifts.affine, zoom_x=1.2)),
    "taller 20 %": _plain(partial(shifts.affine, zoom_y=1.2)),
    **_levels("blur", shifts.blur, "sigma", 1, 2),
    "sharpened": _plain(partial(shifts.sharpen, amount=1.2)),
    "noise 8": lambda pixels, draw: shifts.noise(pixels, 8, draw.rng),
    "noise 16": lambda pixels, draw: shifts.noise(pixels, 16, draw.rng),
    "coarse noise 8": lambda pixels, draw: shifts.noise(pixels, 8, draw.rng, coarse=True),
    **_levels("JPEG quality", shifts.jpeg, "quality", 15, 40),
    **_levels("resolution", shifts.resolution, "side", 64, 100),
    "text markers": _markers,
}
SWAPPED: dict[str, Shift] = {
    "other class's histogram": lambda pixels, draw: shifts.match_histogram(pixels, draw.look()),
    "other class's histogram and sharpness": _swapped_look,
    "other class's aspect ratio": _swapped_aspect,
}
GUARD: dict[str, Shift] = {"inverted": _plain(shifts.invert)}
SUITE: dict[str, tuple[Kind, Shift]] = {
    **{name: ("realistic", shift) for name, shift in REALISTIC.items()},
    **{name: ("swapped", shift) for name, shift in SWAPPED.items()},
    **{name: ("guard", shift) for name, shift in GUARD.items()},
}


def stress(  # noqa: PLR0913  a model, the images it is measured on, and those that define each class's appearance
    predict: Predict,
    held_out: Dataset,
    train: Dataset,
    threshold: float,
    measured_on: str,
    *,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> StressTable:
    """Measure a model under every shift of the suite.

    Args:
        predict: the model.
        held_out: images of patients it was not trained on.
        train: images it was trained on; the swapped shifts take the classes' histograms from them.
        threshold: PNEUMONIA is a probability at or above it, 0..1.
        measured_on: describes ``held_out``.
        seed: the same seed shifts row n the same way, whatever the other rows are.
        progress: called with the number of shifts done and the total.
    """
    scores = suite_scores(predict, held_out, train, seed=seed, progress=progress)
    return stress_table(scores, threshold, measured_on, seed=seed)


def suite_scores(
    predict: Predict,
    held_out: Dataset,
    train: Dataset,
    *,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> dict[str, Scores]:
    """The scores of images as they are and under every shift of the suite, by its name; arguments as of ``stress``."""
    looks = [np.array([shifts.cdf(row) for row in train.pixels[train.labels == label]]) for label in (0, 1)]
    found = {UNSHIFTED: score(predict, held_out)}
    for name, (_, shift) in SUITE.items():
        found[name] = score(predict, apply_shift(shift, held_out, seed, looks))
        progress(len(found) - 1, len(SUITE))
    return found


def stress_table(scores: dict[str, Scores], threshold: float, measured_on: str, *, seed: int = 0) -> StressTable:
    """What ``suite_scores`` come to at a threshold."""
    plain = scores[UNSHIFTED]
    rows = [_measured(name, kind, scores[name], threshold) for name, (kind, _) in SUITE.items()]
    return StressTable(
        measured_on=measured_on,
        images=len(plain.label),
        patients=len(np.unique(plain.patient)),
        threshold=threshold,
        seed=seed,
        unshifted=_measured(UNSHIFTED, "realistic", plain, threshold),
        shifts=tuple(rows),
        **_summary([row for row in rows if row.kind == "realistic"]),
    )


def apply_shift(shift: Shift, data: Dataset, seed: int, looks: Sequence[Cdf] = (_NO_LOOK, _NO_LOOK)) -> Dataset:
    """Shift every image of a dataset; ``looks`` are the cumulative histograms of NORMAL and of PNEUMONIA."""
    rows = enumerate(zip(data.pixels[..., 0], data.labels, strict=True))
    pixels = [shift(row, Draw(np.random.default_rng((seed, n)), int(y), looks[1 - y])) for n, (row, y) in rows]
    return replace(data, pixels=np.stack(pixels)[..., np.newaxis])


def _measured(name: str, kind: Kind, scores: Scores, threshold: float) -> Shifted:
    rates = {"sensitivity": sensitivity(scores, threshold), "specificity": specificity(scores, threshold)}
    return Shifted(shift=name, kind=kind, auc=auc(scores), **rates)


def _summary(rows: Iterable[Shifted]) -> dict[str, float | str]:
    rows = sorted(rows, key=lambda row: row.auc.value)
    balanced = [row.balanced_accuracy for row in rows]
    return {
        "worst_auc": rows[0].auc.value,
        "worst_shift": rows[0].shift,
        "mean_auc": float(np.mean([row.auc.value for row in rows])),
        "worst_balanced_accuracy": min(balanced),
        "mean_balanced_accuracy": float(np.mean(balanced)),
    }
