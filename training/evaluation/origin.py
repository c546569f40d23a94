"""Whether the population of an image can be predicted from a network's features, at equal label.

To some degree it always can be: a child is smaller than an adult. What matters is how much of it is left in the
features behind the probability, and whether the probability itself predicts it among images of one label.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from contract.bundle import FEATURES
from training.data.dataset import Dataset
from training.evaluation.assess import graph_output, graph_predict
from training.evaluation.controls import Control, border, corners, histogram
from training.evaluation.evaluate import in_batches
from training.evaluation.metrics import Scores, auc

# Number of training images of each population and label: enough for these classifiers.
_ENOUGH = 400

Seen = Callable[[Dataset], NDArray[np.floating]]


def tell_origin(graph: bytes, train: Dataset, held_out: Dataset, measured_on: str) -> list[Control]:
    """Measure classifiers that separate two populations; empty for another number of populations.

    Args:
        graph: of a bundle with an input guard.
        train: images that the classifiers are trained on; a part is enough.
        held_out: images that they are measured on.
        measured_on: describes ``held_out``.
    """
    if len(np.unique(train.populations)) != 2:
        return []
    kinds: dict[str, Seen] = {
        "corners, a fifth of each side": lambda data: corners(data.pixels[..., 0]),
        "border, the outer 10 %": lambda data: border(data.pixels[..., 0]),
        "histogram": lambda data: histogram(data.pixels[..., 0]),
        "the network's coarse maps (the guard's features)": lambda data: in_batches(
            graph_output(graph, FEATURES), data.pixels
        ),
        "the probability alone": lambda data: in_batches(graph_predict(graph), data.pixels)[:, np.newaxis],
    }
    few = _few(train)
    found = [control for name, seen in kinds.items() for control in _controls(name, seen, few, held_out, measured_on)]
    return sorted(found, key=lambda control: control.measured_on)


def _controls(name: str, seen: Seen, train: Dataset, held_out: Dataset, measured_on: str) -> Iterator[Control]:
    first = np.unique(train.populations)[0]
    known, asked = seen(train), seen(held_out)
    for label, title in enumerate(("NORMAL", "PNEUMONIA")):
        rows, at = train.labels == label, np.flatnonzero(held_out.labels == label)
        model = HistGradientBoostingClassifier(random_state=0, max_iter=60)
        model.fit(known[rows], train.populations[rows] == first)
        scores = Scores.of(held_out, model.predict_proba(asked)[:, 1])
        truth = (held_out.populations == first).astype(np.uint8)
        found = Scores(scores.probability, truth, scores.patient).rows(at)
        yield Control(sees=name, auc=auc(found), measured_on=f"{title} images of {measured_on}")


def _few(train: Dataset) -> Dataset:
    """Up to ``_ENOUGH`` images of each population and label."""
    cells = {(name, label) for name in np.unique(train.populations) for label in (0, 1)}
    rows = [
        row
        for name, label in sorted(cells)
        for row in np.flatnonzero((train.populations == name) & (train.labels == label))[:_ENOUGH]
    ]
    return train.rows(train.radiographs[row].name for row in rows)
