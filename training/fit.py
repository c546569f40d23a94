"""Training: the specification's protocol, a checkpoint each epoch, and the way back into an interrupted run.

The loop is written out, over ``train_on_batch``, for two reasons. It is the same on every Keras backend; and
``Model.fit`` on TensorFlow puts a tf.data pipeline in front of the arrays, whose autotuner has been seen to wait for
itself for ever when it is torn down (TensorFlow 2.21, after the last of 25 epochs).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from training.architectures import build
from training.config import TrainingConfig
from training.dataset import Dataset
from training.run import Epoch, Run

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _nothing(*_: object) -> None:
    """For whoever does not want to be told."""


def fit(
    run: Run,
    data: Dataset,
    on_step: Callable[[int, int], object] = _nothing,
    on_epoch: Callable[[Epoch], object] = _nothing,
) -> list[Epoch]:
    """Train a run to its last epoch, from wherever it stands.

    Args:
        run: a run's folder; the finished epochs in it are not repeated.
        data: the images that the run's split names.
        on_step: called after each step with the number of steps done, and of all, in all epochs.
        on_epoch: called after each epoch, once it is saved.

    Returns:
        all finished epochs.
    """
    config, done = run.config, run.history
    model = run.last_model() if done else compiled(config)
    train, validation = data.rows(run.split.train), data.rows(run.split.validation)
    steps = -(-len(train.labels) // config.batch)
    while len(done) < config.epochs:
        began = time.monotonic()
        shuffled = shuffled_batches(train, config.batch, (config.seed, len(done)))
        trained = _over(_told(shuffled, on_step, len(done) * steps, config.epochs * steps), model.train_on_batch)
        validated = _over(_batches(validation, np.arange(len(validation.labels)), config.batch), model.test_on_batch)
        figures = {**trained, **{f"val_{name}": value for name, value in validated.items()}}
        done.append(Epoch(epoch=len(done) + 1, seconds=round(time.monotonic() - began, 1), **figures))
        run.save_epoch(model, done)
        on_epoch(done[-1])
    return done


def compiled(config: TrainingConfig) -> keras.Model:
    """A fresh network of this configuration with its optimizer, its weights drawn from the seed."""
    keras.utils.set_random_seed(config.seed)
    model = build(config.architecture, config.normalisation)
    model.compile(
        optimizer=keras.optimizers.SGD(config.learning_rate, config.momentum),
        loss="binary_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # measured on two CPU cores, deep: 67 s an epoch without XLA, 269 s with
    )
    return model


def shuffled_batches(data: Dataset, batch: int, seed: tuple[int, int]) -> Iterator[Batch]:
    """All images of a dataset, in an order that depends on the seed alone, uint8 until the network's first layer.

    Args:
        data: the images.
        batch: images a batch; the last may be smaller.
        seed: of the run, and the number of the epoch, so that a resumed run sees what it would have seen.
    """
    order = np.random.default_rng(seed).permutation(len(data.labels))
    yield from _batches(data, order, batch)


def _batches(data: Dataset, order: NDArray[np.intp], batch: int) -> Iterator[Batch]:
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        yield data.pixels[rows], data.labels[rows]


def _told(batches: Iterable[Batch], on_step: Callable[[int, int], object], before: int, total: int) -> Iterator[Batch]:
    """The same batches; after each has been worked on, it is told how many that makes, and of how many."""
    for step, batch in enumerate(batches, start=before + 1):
        yield batch
        on_step(step, total)


def _over(batches: Iterable[Batch], work: Callable[..., dict[str, object]]) -> dict[str, float]:
    """Work on all batches, and give the mean of each figure over all their images.

    Keras' ``train_on_batch`` and ``test_on_batch`` tell of the one batch alone, so the mean is taken here.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    images = 0
    for pixels, labels in batches:
        for name, value in work(pixels, labels, return_dict=True).items():
            totals[name] += float(np.asarray(value)) * len(labels)
        images += len(labels)
    return {name: total / images for name, total in totals.items()}
