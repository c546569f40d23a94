"""Originals against copies: a network is trained on small copies, and served the files the detector wrote."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.data.dataset import Dataset
from training.errors import DataError
from training.evaluation.evaluate import Predict, score


class Agreement(BaseModel):
    """How the answers for originals and for their copies differ. Differences are of probabilities, 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_on: str
    images: int
    mean_difference: float
    largest_difference: float
    decisions_changed: int
    share_changed: float


def agreement(predict: Predict, originals: Dataset, copies: Dataset, threshold: float) -> Agreement:
    """Compare the answers for each original and for its copy, the image of the same class and file name.

    Raises:
        DataError: no original has a copy, or a class has a file name more than once.
    """
    known, wanted = _by_file_name(copies), _by_file_name(originals)
    shared = sorted(known.keys() & wanted.keys())
    if not shared:
        raise DataError("none of the originals has the file name of an image of the data folder")
    full = score(predict, originals.rows(wanted[key] for key in shared)).probability
    small = score(predict, copies.rows(known[key] for key in shared)).probability
    difference, changed = np.abs(full - small), (full >= threshold) != (small >= threshold)
    return Agreement(
        measured_on=f"{len(shared)} full-size originals and their copies, trained on or not",
        images=len(shared),
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
        decisions_changed=int(changed.sum()),
        share_changed=float(changed.mean()),
    )


def _by_file_name(data: Dataset) -> dict[tuple[int, str], str]:
    names: dict[tuple[int, str], str] = {
        (radiograph.label, radiograph.path.name): radiograph.name for radiograph in data.radiographs
    }
    if len(names) < len(data.radiographs):
        raise DataError("originals and copies are told by their file names, and a name is there more than once")
    return names
