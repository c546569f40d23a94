"""Builds the network of a configuration: compiled for training, or averaged from checkpoints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from keras import ops

from training.errors import TrainingError
from training.fitting.config import TrainingConfig
from training.networks.architectures import Tensor, build


def compiled(config: TrainingConfig, steps: int) -> keras.Model:
    """Build an untrained network with its optimizer; the seed determines its initial weights.

    Args:
        config: the run's.
        steps: batches per epoch, which the learning rate schedule depends on.
    """
    keras.utils.set_random_seed(config.seed)
    with _precision(config.precision):
        model = build(config.architecture, config.normalisation)
    model.compile(
        optimizer=_optimizer(config, steps),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=config.label_smoothing),
        metrics=[accuracy],
        # TensorFlow, two CPU cores, deep: 67 s an epoch without XLA, 269 s with. JAX compiles nothing at all without.
        jit_compile=keras.config.backend() == "jax",
    )
    return model


@keras.saving.register_keras_serializable("xray")
def accuracy(target: Tensor, probability: Tensor) -> Tensor:
    """Whether both are on one side of a half, for each row: Keras' own compares with targets of 0 and 1 only."""
    target = ops.reshape(ops.cast(target, "float32"), ops.shape(probability))  # (n,) with (n, 1) would be (n, n)
    return ops.cast(ops.equal(target > 0.5, probability > 0.5), "float32")


def averaged(checkpoints: Sequence[Path], config: TrainingConfig) -> keras.Model:
    """A float32 network whose weights are the mean over these checkpoints (Izmailov et al., arXiv:1803.05407).

    No network here has batch statistics, so none have to be recomputed for the averaged weights.
    """
    model = build(config.architecture, config.normalisation)
    weights = []
    for path in checkpoints:
        with reading(path):
            model.load_weights(path)
        weights.append(model.get_weights())
    model.set_weights([np.mean(versions, axis=0) for versions in zip(*weights, strict=True)])
    return model


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A context in which Keras reads a file.

    Raises:
        TrainingError: it cannot.
    """
    try:
        yield
    except Exception as error:  # Keras' exceptions have no common base class
        raise TrainingError(
            f"{path}: cannot be read: it is missing, damaged, or of another version of Keras"
        ) from error


def _optimizer(config: TrainingConfig, steps: int) -> keras.optimizers.Optimizer:
    rate = _cosine(config, steps) if config.schedule == "cosine" else config.learning_rate
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, config.momentum)
    return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, global_clipnorm=1.0)


def _cosine(config: TrainingConfig, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Up over the first epoch, then down to ``final_rate`` (Loshchilov & Hutter, arXiv:1608.03983)."""
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100,
        max(1, (config.epochs - 1) * steps),
        alpha=config.final_rate,
        warmup_target=config.learning_rate,
        warmup_steps=steps,
    )


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Networks built in this context compute in this precision; their weights are always float32."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)
