"""The features of the input guard: what kind of structure the network sees, and roughly where.

They are the coarse maps of ``compact`` (training.networks.compact), averaged over 4 x 4 windows: texture alone does not
distinguish a lateral view from a frontal one, layout does. They are projected onto their principal components over the
training images, where they are therefore uncorrelated; so ``contract.guard.distance`` is a Mahalanobis distance (Lee et
al., NeurIPS 2018, use it on such features to detect out-of-distribution inputs). With several populations the
directions that tell them apart follow (``separating``).
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.networks.architectures import Tensor
from training.networks.names import LAYOUT

# Windows of 4 with stride 3: 4 x 4 windows on the 13 x 13 maps; neighbouring windows overlap by one.
_WINDOW, _STEP = 4, 3

# Of a feature, as a share of the greatest one's, for the direction that tells populations apart. With fewer images than
# components some have next to none, and would decide it by rounding errors. (The least of ``pneumonia/3``: 7.6e-5.)
_LEAST_VARIANCE = 5e-5


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The projection of a layout to features: ``layout @ components``.

    Attributes:
        components: float32 (d, k).
    """

    components: NDArray[np.float32]

    def __call__(self, layout: Tensor) -> Tensor:
        """Project layouts (n, d) to features (n, k)."""
        return ops.matmul(layout, self.components)

    def extended(self, directions: NDArray[np.float64]) -> "Projection":
        """With further features: directions (k, m) in the space of these."""
        return Projection(np.hstack([self.components, (self.components @ directions).astype(np.float32)]))


def has_layout(model: keras.Model) -> bool:
    """Whether a network has the coarse maps that the features are computed from."""
    return any(layer.name == LAYOUT for layer in model.layers)


def layout(maps: Tensor) -> Tensor:
    """Average coarse maps (n, 13, 13, channels) over windows to float (n, 16 * channels)."""
    windows = ops.average_pool(maps, _WINDOW, strides=_STEP, padding="valid", data_format="channels_last")
    return ops.reshape(windows, (-1, int(np.prod(windows.shape[1:]))))


def fit_projection(layouts: NDArray[np.float32], components: int) -> Projection:
    """Fit the leading principal components of the standardised layouts.

    Args:
        layouts: float (n, d), of training images.
        components: maximum number of components.
    """
    deviation = layouts.std(0, dtype=np.float64) + 1e-6
    standardised = (layouts - layouts.mean(0, dtype=np.float64)) / deviation
    _, directions = np.linalg.eigh(standardised.T @ standardised)  # weakest first
    strongest = directions[:, ::-1][:, : min(components, len(layouts) - 1)]
    return Projection((strongest / deviation[:, np.newaxis]).astype(np.float32))


def separating(features: NDArray[np.float32], populations: NDArray[np.str_]) -> NDArray[np.float64]:
    """Directions along which populations differ most beside their spread: Fisher's linear discriminants.

    Features of a projection are uncorrelated within populations, so the discriminant is the difference of the means
    divided by the variances (Fisher, Annals of Eugenics 1936).

    Args:
        features: float (n, k), of training images.
        populations: (n,), the population of each; at least two different ones.

    Returns:
        float64 (k, ``separating_count``), each population against the rest; features along them have a standard
        deviation of 1 within populations.
    """
    names = np.unique(populations)
    variance = np.mean([features[populations == name].var(0, dtype=np.float64) for name in names], axis=0)
    variance = variance.clip(_LEAST_VARIANCE * variance.max())
    directions = np.stack(
        [
            (features[populations == name].mean(0, dtype=np.float64) - features[populations != name].mean(0)) / variance
            for name in names[: separating_count(populations)]
        ],
        axis=1,
    )
    return directions / np.sqrt((directions**2 * variance[:, np.newaxis]).sum(0))


def separating_count(populations: NDArray[np.str_]) -> int:
    """The number of directions that separate these populations, (n,): of two, each is the rest of the other, so one."""
    count = len(np.unique(populations))
    return count if count > 2 else count - 1
