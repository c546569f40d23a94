"""The last layer of a network that learns where evidence may come from, so that heatmaps lie where disease can be."""

from typing import Any

import keras
from keras import layers, ops

Tensor = Any  # Keras ships no types for its tensors

_TINY = 1e-6


@keras.saving.register_keras_serializable("xray")
class LocatedEvidence(layers.Layer):
    """The average of maps (n, h, w, c), weighted once: the probability, (n, 1).

    Weighted maps add up to the log-odds (``training.networks.heatmap``), so each place has its evidence. In training,
    the loss grows by the share of an image's evidence that lies outside of an area, times the image's probability.

    ``outside``: float32 (h, w), 0..1, how much evidence at each place counts; initially 0, which changes no loss.

    Args:
        dropout: share of the averages that a step of training leaves out.
    """

    def __init__(self, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self._dropout = dropout, layers.Dropout(dropout)

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the weights for maps of this shape."""
        self.kernel = self.add_weight(shape=(shape[-1], 1), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")
        self.outside = self.add_weight(shape=shape[1:3], initializer="zeros", trainable=False, name="outside")

    def call(self, maps: Tensor, training: bool | None = None) -> Tensor:
        """See the class."""
        averages = self._dropout(ops.mean(maps, axis=(1, 2)), training=training)
        probability = ops.sigmoid(ops.matmul(averages, self.kernel) + self.bias)
        if training:
            evidence = ops.relu(ops.matmul(maps, self.kernel)[..., 0])
            lost = ops.sum(evidence * self.outside, axis=(1, 2)) / (ops.sum(evidence, axis=(1, 2)) + _TINY)
            self.add_loss(ops.mean(lost * ops.stop_gradient(probability[:, 0])))
        return probability

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for saving."""
        return {**super().get_config(), "dropout": self.rate}
