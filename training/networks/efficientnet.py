"""``efficientnet-lite``: the first eleven blocks of EfficientNet-Lite0, which begin with its weights of ImageNet.

A few thousand radiographs are too few to learn edges, textures and tubes from random weights; weights that were trained
on a million photographs have them (Raghu et al., Transfusion, NeurIPS 2019: of such weights the lower layers
help). EfficientNet-Lite0 (Tan & Le, ICML 2019; "lite": neither squeeze-and-excitation nor swish) is made for 8-bit
arithmetic on CPUs. Of its 16 blocks those up to a stride of 16 are used, which have 0.7 of its 4.7 million weights. The
head is that of ``compact``: maps of 13 x 13 for the input guard, and of 25 x 25 for the heatmap.

There is no batch normalisation: its published statistics are part of the kernels (``load_weights``), so a row's result
never depends on the other rows of its batch, as in ``compact``.
"""

from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from training.networks.compact import PhotometricNormalisation, bottleneck, merged
from training.networks.evidence import LocatedEvidence
from training.networks.names import LAYOUT, MAPS, PROBABILITY

Tensor = Any  # a symbolic Keras tensor; Keras ships no types for it

# float16 arrays by name of layer: "<layer>.kernel" and "<layer>.bias"; made by tools/imagenet_weights.py.
WEIGHTS = Path(__file__).with_name("efficientnet_lite0.npz")


class Stage(NamedTuple):
    """Blocks of one resolution: how many, the side of their depthwise kernels, the first one's stride, the factor of
    expansion, their output channels, and whether their weights change in training.
    """

    blocks: int
    size: int
    stride: int
    factor: int
    filters: int
    learns: bool = True


# The stem and the first two stages keep their weights: edges need no retraining, and a step takes a quarter less time.
STAGES = (
    Stage(1, 3, 1, 1, 16, learns=False),
    Stage(2, 3, 2, 6, 24, learns=False),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
)
# Of ImageNet's photographs, as the weights were trained with them: (grey - 127) / 128 deviates by about a half.
_PHOTOGRAPHS = 0.5
_HEAD, _DROPOUT = 128, 0.2
# Gain of what enters the head: without normalisation, the maps of the blocks deviate by about six.
_ENTRY = 0.1
# The stage whose maps have a stride of 8.
_FINE = 2


def efficientnet_lite(image: Tensor) -> Tensor:
    """The network: (n, 200, 200, 1) in 0..1 to the probability of PNEUMONIA; its last maps are 25 x 25."""
    maps = PhotometricNormalisation(dtype="float32")(image)
    maps = layers.Rescaling(_PHOTOGRAPHS, dtype="float32")(maps)
    stages = _stages(_relu6(layers.Conv2D(32, 3, 2, padding="same", trainable=False, name="stem")(maps)))
    coarse = layers.Identity(name=LAYOUT)(stages[-1])
    both = layers.ReLU()(merged(stages[_FINE], coarse, _HEAD, gain=_ENTRY))
    maps = layers.ReLU(name=MAPS)(bottleneck(both, _HEAD))
    return LocatedEvidence(_DROPOUT, name=PROBABILITY, dtype="float32")(maps)


def load_weights(model: keras.Model) -> None:
    """Give the layers of the blocks the weights that were learnt from ImageNet."""
    with np.load(WEIGHTS) as stored:
        for name in {key.rpartition(".")[0] for key in stored}:
            arrays = [stored[f"{name}.{part}"].astype(np.float32) for part in ("kernel", "bias")]
            model.get_layer(name).set_weights(arrays)


def _relu6(maps: Tensor) -> Tensor:
    return layers.ReLU(6.0)(maps)


def _stages(maps: Tensor) -> list[Tensor]:
    """The last maps of each stage."""
    found, number = [], 0
    for stage in STAGES:
        for block in range(stage.blocks):
            maps = _inverted(maps, f"block{number}", stage._replace(stride=1) if block else stage)
            number += 1
        found.append(maps)
    return found


def _inverted(maps: Tensor, name: str, stage: Stage) -> Tensor:
    """An inverted residual (Sandler et al., MobileNetV2, CVPR 2018): expand, convolve each channel, project."""
    channels, learns, branch = maps.shape[-1], stage.learns, maps
    if stage.factor > 1:
        branch = _relu6(layers.Conv2D(channels * stage.factor, 1, trainable=learns, name=f"{name}_expand")(branch))
    depthwise = layers.DepthwiseConv2D(
        stage.size, stage.stride, padding="same", trainable=learns, name=f"{name}_depthwise"
    )
    branch = layers.Conv2D(stage.filters, 1, trainable=learns, name=f"{name}_project")(_relu6(depthwise(branch)))
    return layers.Add()([branch, maps]) if stage.stride == 1 and channels == stage.filters else branch
