"""The training loop: trains by the run's configuration, saves a checkpoint each epoch, resumes an interrupted run.

The loop calls ``train_on_batch`` instead of ``Model.fit`` for two reasons. It is the same on every Keras backend; and
``Model.fit`` on TensorFlow puts a tf.data pipeline in front of the arrays, whose autotuner deadlocked at tear-down
(seen with TensorFlow 2.21, after the last of 25 epochs).
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from contract.bundle import MANIFEST, read_bundle
from training.augmentation.augment import acquisition, unchanged
from training.augmentation.batches import Batch, batches_in_order, randomised_batches, shuffled_batches
from training.augmentation.randomise import looks, randomiser
from training.data.dataset import Dataset
from training.data.lungs import around, in_places, lung_atlas
from training.errors import TrainingError
from training.fitting.config import TrainingConfig
from training.fitting.network import compiled
from training.fitting.run import Epoch, Run
from training.networks.evidence import LocatedEvidence
from training.networks.names import PROBABILITY
from training.networks.recovered import recovered

# Images of each population from which the place of its lungs is taken.
_HEALTHY = 200


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
    epoch_of, steps = _epochs(config, train)
    model = run.last_model() if done else _fresh(config, train, steps)
    weigh, taught = _weights(config, train), _teachers(config)
    while len(done) < config.epochs and not (done and done[-1].diverged):
        began = time.monotonic()
        batches = _reporting_steps(taught(epoch_of(len(done))), on_step, len(done) * steps, config.epochs * steps)
        trained = _mean_figures(batches, model.train_on_batch, weigh(train))
        validated = _mean_figures(batches_in_order(validation, config.batch), model.test_on_batch, weigh(validation))
        figures = {**trained, **{f"val_{name}": value for name, value in validated.items()}}
        done.append(Epoch(epoch=len(done) + 1, seconds=round(time.monotonic() - began, 1), **figures))
        run.save_epoch(model, done)
        on_epoch(done[-1])
    run.finish(_network_of(Path(config.start)) if config.start and config.start_share else None)
    return done


def _fresh(config: TrainingConfig, train: Dataset, steps: int) -> keras.Model:
    """The network before its first step: with weights from the seed, or with those that ``start`` names.

    Raises:
        TrainingError: ``start`` names another network, or evidence cannot be confined.
    """
    model = compiled(config, steps)
    if config.start:
        try:
            model.set_weights(_network_of(Path(config.start)).get_weights())
        except ValueError:
            raise TrainingError(f"start: the network of {config.start} is not {config.architecture}") from None
    if config.lungs:
        _confine(model, train, config.lungs)
    return model


def _confine(model: keras.Model, train: Dataset, weight: float) -> None:
    """Have the loss count evidence outside of where most lungs of the training images are, in either orientation, since
    half of the images are mirrored.

    Raises:
        TrainingError: the network has no place for it.
    """
    last = model.get_layer(PROBABILITY)
    if not isinstance(last, LocatedEvidence):
        raise TrainingError("lungs: this network cannot learn where evidence may come from")
    healthy = [
        np.flatnonzero((train.populations == name) & (train.labels == 0)) for name in np.unique(train.populations)
    ]
    atlases = [around(lung_atlas(train.pixels[rows[:_HEALTHY], :, :, 0])[0]) for rows in healthy]
    lungs = np.any([*atlases, *(atlas[:, ::-1] for atlas in atlases)], axis=0)
    last.outside.assign(weight * (1 - in_places(lungs, last.outside.shape[0])))


def _network_of(folder: Path) -> keras.Model:
    """The network of a run or of a bundle."""
    if (folder / MANIFEST).exists():
        return recovered(read_bundle(folder).graph)
    return Run(folder).best_model()


def _epochs(config: TrainingConfig, train: Dataset) -> tuple[Callable[[int], Iterator[Batch]], int]:
    """A function that makes the batches of an epoch from its number; and the number of batches per epoch."""
    size = config.batch
    if config.augmentation == "randomised":
        made = randomiser(looks(train), config.seed)
        steps = max(1, len(train.labels) // size)
        made_of = partial(randomised_batches, randomiser=made, mixed=config.mixed, exchanged=config.exchanged)
        return lambda epoch: made_of(train, size, (config.seed, epoch)), steps
    augment = acquisition(train.pixels, train.labels) if config.augmentation == "acquisition" else unchanged
    steps = -(-len(train.labels) // size)
    return lambda epoch: shuffled_batches(train, size, (config.seed, epoch), augment), steps


def _teachers(config: TrainingConfig) -> Callable[[Iterator[Batch]], Iterator[Batch]]:
    """A function that sets the targets of batches: the labels, or with teachers the mean of the label and the teachers'
    mean probability for the same augmented image (Beyer et al., Knowledge distillation: a good teacher is patient and
    consistent, CVPR 2022).
    """
    teachers = [Run(Path(folder)).best_model() for folder in config.teachers.split(",") if folder]
    if not teachers:
        return lambda batches: batches

    def taught(batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            probabilities = [np.asarray(teacher.predict_on_batch(batch.pixels))[:, 0] for teacher in teachers]
            yield batch._replace(labels=(batch.labels + np.mean(probabilities, axis=0)) / 2)

    return taught


def _weights(config: TrainingConfig, train: Dataset) -> Callable[[Dataset], NDArray[np.float32]]:
    """A function that computes each image's weight in the loss, float32 (n,); the mean over training images is 1.

    With ``class_balance``, every pair of population and label has the same sum of weights.
    """
    if not config.class_balance:
        return lambda data: np.ones(len(data.labels), np.float32)
    cells = Counter(zip(train.populations, train.labels, strict=True))
    weight = {cell: len(train.labels) / (len(cells) * count) for cell, count in cells.items()}
    return lambda data: np.array([weight[cell] for cell in zip(data.populations, data.labels, strict=True)], np.float32)


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
    """Train or test on all batches, with these weights of the rows; return the mean of each figure over all images.

    Keras' ``train_on_batch`` and ``test_on_batch`` return the figures of one batch, so the mean is computed here.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    images = 0
    for pixels, labels, rows in batches:
        for name, value in step(pixels, labels, weights[rows], return_dict=True).items():
            totals[name] += float(np.asarray(value)) * len(labels)
        images += len(labels)
    return {name: total / images for name, total in totals.items()}
