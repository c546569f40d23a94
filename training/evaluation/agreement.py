"""Originals against copies: networks are trained on small copies, the service gets the detector's full-size files."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.data.dataset import Dataset
from training.errors import DataError
from training.evaluation.evaluate import Predict, score


class Agreement(BaseModel):
    """How the results for originals and for their copies differ. Differences are of probabilities, 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_on: str
    images: int
    mean_difference: float
    largest_difference: float
    decisions_changed: int
    share_changed: float


def agreement(predict: Predict, originals: Dataset, copies: Dataset, threshold: float) -> Agreement:
    """Compare the results for each original and its copy, which is the image of the same class and file name.

    Raises:
        DataError: no original has a copy, or a file name occurs twice in a class.
    """
    copy_names, original_names = _by_file_name(copies), _by_file_name(originals)
    shared = sorted(copy_names.keys() & original_names.keys())
    if not shared:
        raise DataError("no file of --originals has the same class and file name as an image of the data folder")
    full = score(predict, originals.rows(original_names[key] for key in shared)).probability
    small = score(predict, copies.rows(copy_names[key] for key in shared)).probability
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
        raise DataError("originals and copies are matched by file name, but a file name occurs twice in a class")
    return names
