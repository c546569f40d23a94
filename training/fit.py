"""Training: the specification's protocol, a checkpoint each epoch, and the way back into an interrupted run."""

import time
from collections.abc import Sequence

import keras

from training.architectures import build
from training.batches import Batches
from training.config import TrainingConfig
from training.dataset import Dataset
from training.run import Epoch, Run


def fit(run: Run, data: Dataset, callbacks: Sequence[keras.callbacks.Callback] = ()) -> list[Epoch]:
    """Train a run to its last epoch, from wherever it stands.

    Args:
        run: a run's folder; the finished epochs in it are not repeated.
        data: the images that the run's split names.
        callbacks: of Keras, in addition (progress).

    Returns:
        all finished epochs.
    """
    config, done = run.config, run.history
    model = run.last_model() if done else compiled(config)
    validation = data.rows(run.split.validation)
    model.fit(
        Batches(data.rows(run.split.train), config.batch, config.seed, epoch=len(done)),
        validation_data=(validation.pixels, validation.labels),
        validation_batch_size=config.batch,
        shuffle=False,  # Batches does
        initial_epoch=len(done),
        epochs=config.epochs,
        verbose=0,
        callbacks=[_Recorder(run, done), *callbacks],
    )
    return run.history


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


class _Recorder(keras.callbacks.Callback):
    """Saves each epoch as soon as it is finished."""

    def __init__(self, run: Run, done: list[Epoch]) -> None:
        super().__init__()
        self._run, self._done = run, list(done)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._done.append(Epoch(epoch=epoch + 1, seconds=round(time.monotonic() - self._began, 1), **figures))
        self._run.save_epoch(self.model, self._done)
