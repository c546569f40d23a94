"""The training loop: trains by the run's configuration, saves a checkpoint each epoch, resumes an interrupted run.

The loop calls ``train_on_batch`` instead of ``Model.fit`` for two reasons. It is the same on every Keras backend; and
``Model.fit`` on TensorFlow puts a tf.data pipeline in front of the arrays, whose autotuner deadlocked at tear-down
(seen with TensorFlow 2.21, after the last of 25 epochs).
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
    """The default callback: does nothing."""


def fit(
    run: Run,
    data: Dataset,
    on_step: Callable[[int, int], object] = _nothing,
    on_epoch: Callable[[Epoch], object] = _nothing,
) -> list[Epoch]:
    """Train a run from its last finished epoch to the end of its configuration, or until it diverges.

    Args:
        run: a run's folder; its finished epochs are not repeated.
        data: the images that the run's split names.
        on_step: called after each step with the number of steps done and the total, both over all epochs.
        on_epoch: called after each epoch, once its checkpoint is saved.

    Returns:
        all finished epochs, including those of earlier calls.
    """
    config, done = run.config, run.history
    train, validation = data.rows(run.split.train), data.rows(run.split.validation)
    steps = -(-len(train.labels) // config.batch)
    model = run.last_model() if done else compiled(config, steps)
    augment, weights = _augmentation(config, train), _class_weights(config, train)
    while len(done) < config.epochs and not (done and done[-1].diverged):
        began = time.monotonic()
        shuffled = shuffled_batches(train, config.batch, (config.seed, len(done)), augment)
        batches = _reporting_steps(shuffled, on_step, len(done) * steps, config.epochs * steps)
        trained = _mean_figures(batches, model.train_on_batch, weights)
        validated = _mean_figures(batches_in_order(validation, config.batch), model.test_on_batch, weights)
        figures = {**trained, **{f"val_{name}": value for name, value in validated.items()}}
        done.append(Epoch(epoch=len(done) + 1, seconds=round(time.monotonic() - began, 1), **figures))
        run.save_epoch(model, done)
        on_epoch(done[-1])
    return done


def _augmentation(config: TrainingConfig, train: Dataset) -> Augment:
    return acquisition(train.pixels, train.labels) if config.augmentation == "acquisition" else unchanged


def _class_weights(config: TrainingConfig, train: Dataset) -> NDArray[np.float32]:
    """The weight in the loss of an image of NORMAL and of PNEUMONIA, float32 (2,); the mean over all images is 1."""
    if not config.class_balance:
        return np.ones(2, np.float32)
    return (len(train.labels) / (2 * np.bincount(train.labels, minlength=2))).astype(np.float32)


def _reporting_steps(
    batches: Iterable[Batch], on_step: Callable[[int, int], object], before: int, total: int
) -> Iterator[Batch]:
    """Yield the same batches; call ``on_step`` with the steps done and the total after each batch was used."""
    for step, batch in enumerate(batches, start=before + 1):
        yield batch
        on_step(step, total)


def _mean_figures(
    batches: Iterable[Batch], step: Callable[..., dict[str, object]], weights: NDArray[np.float32]
) -> dict[str, float]:
    """Train or test on all batches with these class weights; return the mean of each figure over all images.

    Keras' ``train_on_batch`` and ``test_on_batch`` return the figures of one batch, so the mean is computed here.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    images = 0
    for pixels, labels in batches:
        for name, value in step(pixels, labels, weights[labels], return_dict=True).items():
            totals[name] += float(np.asarray(value)) * len(labels)
        images += len(labels)
    return {name: total / images for name, total in totals.items()}
