"""The split of a dataset: images for training, for choosing (validation) and for measuring only (test)."""

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from training.data.dataset import Dataset
from training.data.strategy import Strategy
from training.errors import DataError


class Split(BaseModel):
    """The names of the images of each part. ``test`` is empty for a random split, which holds out no patient."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Strategy
    seed: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_dataset(data: Dataset, strategy: Strategy, *, folds: int, seed: int) -> Split:
    """Divide a dataset; of several populations, each for itself, so that each part has its share of all.

    ``patient``: one fold of patients is the test part, one the validation part, both stratified by class. All images
    of a patient, and all copies of one image, are in the same part. If a population's folder has a ``test`` part, that
    part (with all images of its patients) is its test part.

    ``random``: one image in ``folds`` is validation, drawn regardless of patient, and there is no test part. It
    repeats a widespread protocol whose figures are too optimistic: a patient's other images were trained on.

    Raises:
        DataError: a class has fewer patients than there are folds.
    """
    if strategy == "random":
        return _at_random(data, folds, seed)
    return _by_patient(data, folds, seed)


def patient_groups(data: Dataset) -> np.ndarray:
    """Group numbers, int, shape (n,): rows of a group share a patient or identical pixels, directly or via others."""
    rows = len(data.radiographs)
    edges = []
    for key in ([radiograph.patient for radiograph in data.radiographs], data.digests):
        first: dict[str, int] = {}
        edges += [(row, first.setdefault(value, row)) for row, value in enumerate(key)]
    ends = np.array(edges).T
    graph = coo_array((np.ones(len(edges)), (ends[0], ends[1])), shape=(rows, rows))
    groups: np.ndarray = connected_components(graph, directed=False)[1]
    return groups


def _by_patient(data: Dataset, folds: int, seed: int) -> Split:
    groups, labels = patient_groups(data), data.labels
    official = np.array([radiograph.part == "test" for radiograph in data.radiographs])
    held_out = np.isin(groups, groups[official])
    fold, populations = np.full(len(labels), -1), data.populations
    test = held_out.copy()
    for name in np.unique(populations):
        of_it = populations == name
        rows = ~held_out & of_it
        fold[rows] = _folds(labels[rows], groups[rows], folds, seed)
        if not official[of_it].any():
            test |= rows & (fold == 0)
    first = np.unique(groups, return_index=True)[1]
    at = first[groups]  # a group in several populations is where its first row is
    part = np.select([test[at], fold[at] == 1], ["test", "validation"], "train")
    return _named(data, "patient", seed, part)


def _folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    scarcest = min((len(np.unique(groups[labels == label])) for label in (0, 1)), default=0)
    if scarcest < folds:
        raise DataError(f"{folds} folds need at least {folds} patients of each class; one class has {scarcest}")
    fold = np.empty(len(labels), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
        fold[rows] = number
    return fold


def _at_random(data: Dataset, folds: int, seed: int) -> Split:
    return split_at_random(data, -(-len(data.radiographs) // folds), seed)


def split_at_random(data: Dataset, validation_images: int, seed: int) -> Split:
    """The ``random`` split with this number of validation images."""
    rows = np.arange(len(data.radiographs))
    validation = np.isin(rows, train_test_split(rows, test_size=validation_images, random_state=seed)[1])
    return _named(data, "random", seed, np.where(validation, "validation", "train"))


def _named(data: Dataset, strategy: Strategy, seed: int, part: np.ndarray) -> Split:
    names = {
        title: tuple(data.radiographs[row].name for row in np.flatnonzero(part == title))
        for title in ("train", "validation", "test")
    }
    return Split(strategy=strategy, seed=seed, **names)
