"""A run's folder: the files a training run writes, and resumes from.

config.json       the complete configuration
split.json        the names of the training, validation and test images
data.json         the data folder, its fingerprint, image sizes, and the files that were skipped
environment.json  the code's revision and the packages' versions
history.json      one record per finished epoch
epoch-012.keras   weights and optimizer of the last epoch, or of each of the last epochs that are averaged
averaged.keras    in float32: the mean of the averaged epochs' weights, once the last is done
averaged.json     the numbers of these epochs
best.keras        in float32: the epoch with the lowest validation loss; not in a run whose last epochs are averaged
curves.png        loss and accuracy over the epochs
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import keras
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.io.files import put_in_place, write_file
from contract.io.messages import first_error
from training.data.dataset import Dataset
from training.data.split import Split
from training.errors import TrainingError
from training.fitting.config import TrainingConfig
from training.fitting.environment import Environment
from training.fitting.network import averaged, reading

_AVERAGED = "averaged.keras"
Record = TypeVar("Record", bound=BaseModel)


class DataRecord(BaseModel):
    """``data.json``: the contents of the data folder when the run began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    fingerprint: str
    sizes: dict[str, int]
    skipped: dict[str, str]

    @classmethod
    def of(cls, folder: Path, data: Dataset) -> Self:
        """The record of a loaded data folder."""
        return cls(
            folder=folder.resolve(),
            fingerprint=data.fingerprint,
            sizes={f"{width}x{height}": count for (width, height), count in sorted(data.sizes.items())},
            skipped={skipped.name: skipped.reason for skipped in data.skipped},
        )


class Epoch(BaseModel):
    """One record of ``history.json``. ``loss`` and ``accuracy`` may be NaN when training diverged."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether the loss is NaN or infinite: then the weights are too, and further epochs are useless."""
        return not math.isfinite(self.loss)


@dataclass(frozen=True, slots=True)
class Run:
    """A run, read from and written to its folder."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, config: TrainingConfig, split: Split, data: DataRecord) -> Self:
        """Create the folder of a new run.

        Raises:
            TrainingError: the folder already holds a run.
        """
        if (folder / "config.json").exists():
            raise TrainingError(f"{folder}: already holds a run; continue it with --resume, or choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        records = {"split": split, "data": data, "environment": Environment.here(), "config": config}
        for name, record in records.items():
            (folder / f"{name}.json").write_text(record.model_dump_json(indent=2) + "\n")
        return cls(folder)

    @property
    def config(self) -> TrainingConfig:
        """The run's configuration."""
        return self._read("config", TrainingConfig)

    @property
    def split(self) -> Split:
        """The run's split."""
        return self._read("split", Split)

    @property
    def data(self) -> DataRecord:
        """The record of the run's data."""
        return self._read("data", DataRecord)

    @property
    def environment(self) -> Environment:
        """The environment in which the run began."""
        return self._read("environment", Environment)

    @property
    def history(self) -> list[Epoch]:
        """The finished epochs.

        Raises:
            TrainingError: the file is damaged.
        """
        path = self.folder / "history.json"
        try:
            return [Epoch(**record) for record in json.loads(path.read_text())] if path.exists() else []
        except (ValueError, TypeError):
            raise TrainingError(f"{path}: not a valid file of a run") from None

    @property
    def averaged_epochs(self) -> list[int]:
        """The epochs whose weights ``best_model`` averages; empty if it is the network of one epoch."""
        path = self.folder / "averaged.json"
        if path.exists():
            return [int(number) for number in json.loads(path.read_text())]
        last, count = len(self.history), self.config.average_epochs
        return list(range(max(1, last + 1 - count), last + 1)) if count else []

    def check(self, data: Dataset) -> None:
        """Check that these are the images the run began with.

        Raises:
            TrainingError: they are not.
        """
        if data.fingerprint != self.data.fingerprint:
            raise TrainingError(
                f"{self.folder}: the data folder does not contain the same images as when this run began"
            )

    def last_model(self) -> keras.Model:
        """The network and its optimizer after the last finished epoch.

        Raises:
            TrainingError: it cannot be read.
        """
        path = self._checkpoint(len(self.history))
        with reading(path):
            return keras.models.load_model(path)

    def best_model(self) -> keras.Model:
        """The run's final network in float32: the epoch with the lowest validation loss, or the average.

        Raises:
            TrainingError: no epoch is finished, or the network cannot be read.
        """
        config, last = self.config, len(self.history)
        if not last:
            raise TrainingError(f"{self.folder}: this run has no finished epoch yet")
        path = self.folder / _AVERAGED
        if not path.exists():
            if config.average_epochs:
                return averaged(self._kept(config, last), config)
            path = self.folder / "best.keras"
        with reading(path):
            return keras.models.load_model(path, compile=False)

    def save_epoch(self, model: keras.Model, finished: list[Epoch]) -> None:
        """Save the checkpoint of the last of these epochs. A run stopped during this resumes from a complete one."""
        config, last = self.config, len(finished)
        model.save(self._checkpoint(last))
        if not config.average_epochs and _is_best(finished):
            self._save_best(averaged([self._checkpoint(last)], config))
        records = [epoch.model_dump() for epoch in finished]
        history = (json.dumps(records, indent=2) + "\n").encode()
        write_file(self.folder / "history.json", history, durable=False)  # nor are the checkpoints
        for old in set(self.folder.glob("epoch-*.keras")) - set(self._kept(config, last)):
            old.unlink()

    def finish(self, start: keras.Model | None = None) -> None:
        """Save the mean weights if epochs are averaged, so that the run keeps its network without the checkpoints.

        Args:
            start: the network that the run began with, of whose weights the final ones keep ``start_share`` (Wortsman
                et al., Robust fine-tuning of zero-shot models, CVPR 2022).
        """
        if self.config.average_epochs and not self.history[-1].diverged:
            kept = self._kept(self.config, len(self.history))
            model, share = averaged(kept, self.config), self.config.start_share
            if start:
                both = zip(start.get_weights(), model.get_weights(), strict=True)
                model.set_weights([share * before + (1 - share) * after for before, after in both])
            self._save(model, _AVERAGED)
            numbers = [int(path.stem.removeprefix("epoch-")) for path in kept]
            write_file(self.folder / "averaged.json", json.dumps(numbers).encode(), durable=False)

    def _save_best(self, model: keras.Model) -> None:
        self._save(model, "best.keras")

    def _save(self, model: keras.Model, name: str) -> None:
        partial = self.folder / f".partial.{name}"  # Keras derives the format from the suffix
        model.save(partial)
        put_in_place(partial, self.folder / name)

    def _checkpoint(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:03}.keras"

    def _kept(self, config: TrainingConfig, last: int) -> list[Path]:
        """The checkpoints that are kept after this epoch."""
        return [self._checkpoint(epoch) for epoch in range(max(1, last + 1 - max(1, config.average_epochs)), last + 1)]

    def _read(self, name: str, kind: type[Record]) -> Record:
        path = self.folder / f"{name}.json"
        try:
            return kind.model_validate_json(path.read_bytes())
        except OSError:
            raise TrainingError(f"{self.folder}: not the folder of a run ({path.name} is missing)") from None
        except ValidationError as error:
            raise TrainingError(f"{path}: not a valid file of a run: {' '.join(first_error(error))}") from None


def best_epoch(finished: list[Epoch]) -> Epoch:
    """The epoch of lowest validation loss, the earliest if several; a number always precedes NaN."""
    return min(finished, key=lambda epoch: (epoch.val_loss != epoch.val_loss, epoch.val_loss))


def _is_best(finished: list[Epoch]) -> bool:
    return best_epoch(finished) is finished[-1]
