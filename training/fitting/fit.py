"""Training: a configuration's protocol, a checkpoint each epoch, and the way back into an interrupted run.

The loop is written out, over ``train_on_batch``, for two reasons. It is the same on every Keras backend; and
``Model.fit`` on TensorFlow puts a tf.data pipeline in front of the arrays, whose autotuner has been seen to wait for
itself for ever when it is torn down (TensorFlow 2.21, after the last of 25 epochs).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from training.data.augment import Augment, acquisition, unchanged
from training.data.batches import Batch, batches_in_order, shuffled_batches
from training.data.dataset import Dataset
from training.fitting.config import TrainingConfig
from training.fitting.network import compiled
from training.fitting.run import Epoch, Run


def _nothing(*_: object) -> None:
    """For whoever does not want to be told."""


def fit(
    run: Run,
    data: Dataset,
    on_step: Callable[[int, int], object] = _nothing,
    on_epoch: Callable[[Epoch], object] = _nothing,
) -> list[Epoch]:
    """Train a run to its last epoch, from wherever it stands, or to the one in which it diverges.

    Args:
        run: a run's folder; the finished epochs in it are not repeated.
        data: the images that the run's split names.
        on_step: called after each step with the number of steps done, and of all, in all epochs.
        on_epoch: called after each epoch, once it is saved.

    Returns:
        all finished epochs.
    """
    config, done = run.config, run.history
    train, validation = data.rows(run.split.train), data.rows(run.split.validation)
    steps = -(-len(train.labels) // config.batch)
    model = run.last_model() if done else compiled(config, steps)
    augment, weights = _augmentation(config, train), _class_weights(config, train)
    while len(done) < config.epochs and not (done and done[-1].diverged):
        began = time.monotonic()
        shuffled = shuffled_batches(train, config.batch, (config.seed, len(done)), augment)
        told = _told(shuffled, on_step, len(done) * steps, config.epochs * steps)
        trained = _over(told, model.train_on_batch, weights)
        validated = _over(batches_in_order(validation, config.batch), model.test_on_batch, weights)
        figures = {**trained, **{f"val_{name}": value for name, value in validated.items()}}
        done.append(Epoch(epoch=len(done) + 1, seconds=round(time.monotonic() - began, 1), **figures))
        run.save_epoch(model, done)
        on_epoch(done[-1])
    return done


def _augmentation(config: TrainingConfig, train: Dataset) -> Augment:
    return acquisition(train.pixels, train.labels) if config.augmentation == "acquisition" else unchanged


def _class_weights(config: TrainingConfig, train: Dataset) -> NDArray[np.float32]:
    """What an image of NORMAL and one of PNEUMONIA weigh in the loss, float32 (2,); 1 on average over the images."""
    if not config.class_balance:
        return np.ones(2, np.float32)
    return (len(train.labels) / (2 * np.bincount(train.labels, minlength=2))).astype(np.float32)


def _told(batches: Iterable[Batch], on_step: Callable[[int, int], object], before: int, total: int) -> Iterator[Batch]:
    """The same batches; after each has been worked on, it is told how many that makes, and of how many."""
    for step, batch in enumerate(batches, start=before + 1):
        yield batch
        on_step(step, total)


def _over(
    batches: Iterable[Batch], work: Callable[..., dict[str, object]], weights: NDArray[np.float32]
) -> dict[str, float]:
    """Work on all batches, each class weighing as said, and give the mean of each figure over all their images.

    Keras' ``train_on_batch`` and ``test_on_batch`` tell of the one batch alone, so the mean is taken here.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    images = 0
    for pixels, labels in batches:
        for name, value in work(pixels, labels, weights[labels], return_dict=True).items():
            totals[name] += float(np.asarray(value)) * len(labels)
        images += len(labels)
    return {name: total / images for name, total in totals.items()}
