"""The images that the model is most wrong about, for a report that may show patients (``--gallery``)."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.errors import ImageRefused
from service.client.targets import Target, TargetError, read_target
from service.inference.dicom import picture
from service.settings import Settings
from service.validation.scoring import Scored

_SHOWN = 6
_SIDE = 480


@dataclass(frozen=True, slots=True)
class Example:
    """An image on the wrong side of the threshold: its file, truth and probability, and a JPEG of it."""

    file: str
    pneumonia: bool
    probability: float
    jpeg: bytes


def find_examples(scored: Scored, threshold: float, folder: Path, settings: Settings) -> list[Example]:
    """The images of each class that are farthest on the wrong side of the threshold, at most six.

    Args:
        scored: the predictions.
        threshold: of the operating point.
        folder: that the files are below.
        settings: limits of bytes and pixels.
    """
    wrong = (scored.probability >= threshold) != scored.pneumonia
    distance = np.where(wrong, np.abs(scored.probability - threshold), -1.0)
    found: list[Example] = []
    for pneumonia in (True, False):
        of_class = np.where(scored.pneumonia == pneumonia, distance, -1.0)
        rows = [int(row) for row in np.argsort(-of_class, kind="stable")[:_SHOWN] if of_class[row] >= 0]
        found += _examples(scored, rows, folder, settings)
    return found


def _examples(scored: Scored, rows: list[int], folder: Path, settings: Settings) -> Iterator[Example]:
    for row in rows:
        labelled = scored.labelled[row]
        try:
            data = read_target(Target(str(folder / labelled.file)), settings.max_body_bytes)
            grey = picture(data, _SIDE, max_pixels=settings.max_pixels)
        except (ImageRefused, TargetError):
            continue  # it was readable when it was analysed; the folder has changed since
        buffer = io.BytesIO()
        grey.save(buffer, "JPEG", quality=80)
        yield Example(labelled.file, labelled.pneumonia, float(scored.probability[row]), buffer.getvalue())
