"""The served outputs of a network: calibrated probability, heatmap, and the features of the input guard."""

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from contract.bundle import FEATURES, HEATMAP, PROBABILITY, Calibration
from contract.image import SIDE
from training.networks.architectures import Tensor
from training.networks.features import Projection, has_layout, layout
from training.networks.heatmap import contributions, has_switches, heatmap, nearest_switch
from training.networks.names import LAYOUT, MAPS

_UNCALIBRATED = Calibration()


class Readout:
    """A float32 network with all outputs that the graph of a bundle has.

    Args:
        model: from ``training.networks.architectures.build``.
        calibration: applied to its log-odds.
        projection: computes the features; None: no features.
        quiet: the largest contribution to the log-odds, before calibration, that stays dark in the heatmap.
    """

    def __init__(
        self,
        model: keras.Model,
        calibration: Calibration = _UNCALIBRATED,
        projection: Projection | None = None,
        quiet: float = 0.0,
    ) -> None:
        self.model, self._calibration, self._projection, self._quiet = model, calibration, projection, quiet
        names = [MAPS, LAYOUT] if has_layout(model) else [MAPS]
        self._layers = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])
        self._frame = 0.0 if has_switches(model) else self._frame_of_a_flat_image()

    def __call__(self, image: Tensor, kernel: Tensor = None) -> dict[str, Tensor]:
        """Compute the outputs of the bundle's graph, by name (contract.bundle).

        Args:
            image: uint8 or float (n, 200, 200, 1), 0..255.
            kernel: see ``training.networks.heatmap.contributions``.
        """
        maps, *coarse = self._maps(image)
        logit, places = contributions(self.model, maps, kernel)
        scale, shift = self._calibration.scale, self._calibration.shift
        outputs = {
            PROBABILITY: ops.sigmoid(logit * scale + shift),
            HEATMAP: heatmap((places - self._frame - self._quiet) * scale),
        }
        if self._projection:
            outputs[FEATURES] = self._projection(layout(*coarse))
        return outputs

    def places(self, image: Tensor) -> NDArray[np.float32]:
        """Each place's contribution to the uncalibrated log-odds, without the padding frame, float32 (n, h, w)."""
        return np.asarray(contributions(self.model, self._maps(image)[0])[1] - self._frame)

    def layouts(self, image: Tensor) -> NDArray[np.float32]:
        """The layouts that features are projected from, float32 (n, d), of images uint8 (n, 200, 200, 1)."""
        return np.asarray(layout(self._maps(image)[1]))

    def features(self, image: Tensor) -> NDArray[np.float32]:
        """The features alone, float32 (n, k), of images uint8 (n, 200, 200, 1). Needs a projection."""
        return np.asarray(self(image)[FEATURES])

    def steady(self, image: Tensor, margin: float) -> NDArray[np.bool_]:
        """For which images no hidden unit is so near its switch that rounding changes the heatmap, bool (n,)."""
        if not has_switches(self.model):
            return np.ones(len(image), bool)
        return np.asarray(nearest_switch(self.model, self._maps(image)[0])) > margin

    def _frame_of_a_flat_image(self) -> NDArray[np.float32]:
        """The frame that padding produces: the contributions of a uniform image minus their mean."""
        maps = self._maps(np.zeros((1, SIDE, SIDE, 1), np.uint8))[0]
        flat = np.asarray(contributions(self.model, maps)[1])
        return flat - flat.mean()

    def _maps(self, image: Tensor) -> list[Tensor]:
        outputs = self._layers(image)
        return outputs if isinstance(outputs, list) else [outputs]
