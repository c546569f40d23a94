"""Controls: how well the classes of a dataset can be separated without seeing the lungs.

Each control is a small classifier that gets information from which no diagnosis can be made. It is trained on the
training part and measured on held-out patients. An AUC well above 0.5 shows a shortcut in the data that any network may
learn; training.evaluation.probes measures whether a network uses it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.fft import dctn
from sklearn.ensemble import HistGradientBoostingClassifier

from contract.bundle import Measured
from contract.header import read_header
from contract.image import SIDE
from training.data.dataset import Dataset
from training.evaluation.metrics import Scores, auc

# uint8 (n, 200, 200) in, float (n, d) out.
Features = Callable[[NDArray[np.uint8]], NDArray[np.floating]]

_BLOCK = 8  # of JPEG
_PATCH = 25


class Control(BaseModel):
    """The AUC of a classifier, or of the model, that sees only ``sees``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sees: str
    auc: Measured
    measured_on: str


def mean_intensity(pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The mean grey level, (n, 1)."""
    return pixels.mean((1, 2))[:, np.newaxis]


def histogram(pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The fraction of pixels in each of 32 grey level ranges, (n, 32)."""
    return np.stack([np.bincount(row.ravel() // 8, minlength=32) / row.size for row in pixels])


def coding(pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Noise and coding: log energies of the 8 x 8 DCT's diagonals except the first, and of the Laplacian, (n, 16)."""
    blocks = SIDE // _BLOCK
    diagonal = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK)).ravel()
    rows = []
    for row in pixels.astype(np.float32):
        tiles = row.reshape(blocks, _BLOCK, blocks, _BLOCK).swapaxes(1, 2)
        energy = np.square(dctn(tiles, axes=(2, 3), norm="ortho")).mean((0, 1)).ravel()
        laplacian = np.abs(4 * row[1:-1, 1:-1] - row[:-2, 1:-1] - row[2:, 1:-1] - row[1:-1, :-2] - row[1:-1, 2:])
        rows.append([*np.bincount(diagonal, energy)[1:], laplacian.mean(), laplacian.std()])
    return np.log(np.array(rows) + 1e-3)


def border(pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The outer tenth of the image on each side, as means of 10 x 10 pixels, (n, 144)."""
    grid = _means(pixels, 10)
    outer = np.ones((20, 20), bool)
    outer[2:18, 2:18] = False
    return grid[:, outer]


def corners(pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The four corners, a fifth of each side, in means of 10 x 10 pixels, (n, 64)."""
    grid = _means(pixels, 10)
    ends = np.r_[0:4, 16:20]
    return grid[:, ends][:, :, ends].reshape(len(pixels), -1)


def blurred(pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The image reduced to 8 x 8, (n, 64)."""
    return _means(pixels, _PATCH).reshape(len(pixels), -1)


def shuffled(pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
    """The 8 x 8 patches without their positions: means, deviations and roughnesses, each list sorted, (n, 192)."""
    tiles = pixels.reshape(-1, 8, _PATCH, 8, _PATCH).swapaxes(2, 3).astype(np.float32)
    rough = np.abs(np.diff(tiles, axis=4)).mean((3, 4))
    figures = [figure.reshape(len(pixels), -1) for figure in (tiles.mean((3, 4)), tiles.std((3, 4)), rough)]
    return np.concatenate([np.sort(figure, axis=1) for figure in figures], axis=1)


CONTROLS: dict[str, Features] = {
    "mean intensity": mean_intensity,
    "histogram": histogram,
    "noise and JPEG statistics": coding,
    "border, the outer 10 %": border,
    "corners, a fifth of each side": corners,
    "blurred to 8 x 8": blurred,
    "shuffled patches (their statistics, not their places)": shuffled,
}


def run_controls(train: Dataset, held_out: Dataset, measured_on: str) -> list[Control]:
    """Train each control on one part and measure it on the other."""
    controls = []
    for name, features in CONTROLS.items():
        model = HistGradientBoostingClassifier(random_state=0)
        model.fit(_features(features, train), train.labels)
        probability = model.predict_proba(_features(features, held_out))[:, 1]
        controls.append(Control(sees=name, auc=auc(Scores.of(held_out, probability)), measured_on=measured_on))
    return controls


def run_file_controls(originals: Dataset) -> list[Control]:
    """Measure controls on properties of the files, without pixels: one number per file, so nothing is trained.

    The direction (whether a high or a low value means PNEUMONIA) is taken from the same files, so the AUC is at least
    0.5.
    """
    data = [radiograph.path.read_bytes() for radiograph in originals.radiographs]
    headers = [read_header(content) for content in data]
    numbers = {
        "width / height of the original": [header.width / header.height for header in headers],
        "bytes per pixel of the original": [
            len(content) / (header.width * header.height) for content, header in zip(data, headers, strict=True)
        ],
    }
    measured_on = f"{len(data)} originals, trained on or not; the direction is from the same files"
    return [
        Control(sees=name, auc=_either_way(originals, np.array(values)), measured_on=measured_on)
        for name, values in numbers.items()
    ]


def _either_way(data: Dataset, values: NDArray[np.float64]) -> Measured:
    more, less = (auc(Scores.of(data, sign * values)) for sign in (1, -1))
    return max(more, less, key=lambda measured: measured.value)


def _features(features: Features, data: Dataset) -> NDArray[np.floating]:
    return features(data.pixels[..., 0])


def _means(pixels: NDArray[np.uint8], size: int) -> NDArray[np.floating]:
    """Means of squares of ``size`` x ``size`` pixels, shape (n, 200 / size, 200 / size)."""
    count = SIDE // size
    return pixels.reshape(-1, count, size, count, size).mean((2, 4))
