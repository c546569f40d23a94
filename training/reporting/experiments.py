"""The specification's experiments: each network with each input normalisation, compared with the author's figures."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from contract.io.files import write_file
from training.data.dataset import Dataset
from training.data.split import split_at_random
from training.errors import TrainingError
from training.fitting.config import TrainingConfig
from training.fitting.run import DataRecord, Run, best_epoch
from training.reporting.tables import table

# The author validated on 522 images drawn at random from the whole set.
VALIDATION_IMAGES = 522
# The author's accuracies by network and by normalisation; there are none for the pairs.
NETWORKS = {"baseline": "> 75 %", "deep": "> 95 %", "deep-stacked": "> 95 %"}
NORMALISED = {"rescale": "> 90 %", "l2": "> 90 %", "none": "42 %"}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A network with an input normalisation."""

    architecture: str
    normalisation: str

    @property
    def name(self) -> str:
        """The name that ``--only`` takes."""
        return f"{self.architecture}/{self.normalisation}"

    def folder(self, out: Path) -> Path:
        """The folder of its run."""
        return out / f"{self.architecture}-{self.normalisation}"

    def config(self, epochs: int) -> TrainingConfig:
        """The author's settings."""
        return TrainingConfig(
            architecture=self.architecture, normalisation=self.normalisation, split="random", epochs=epochs
        )


EXPERIMENTS = [Experiment(network, normalisation) for network in NETWORKS for normalisation in NORMALISED]


class Row(BaseModel):
    """The result of one experiment. Accuracies are on validation images at 0.5; null before the first epoch is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    normalisation: str
    epochs_done: int
    epochs_planned: int
    diverged: bool = Field(description="The loss became NaN; further epochs are useless.")
    train_images: int
    validation_images: int
    last_accuracy: float | None
    kept_epoch: int | None
    kept_accuracy: float | None
    author_of_network: str
    author_of_normalisation: str


class ExperimentTable(BaseModel):
    """``table.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[Row, ...]

    def markdown(self) -> str:
        """``table.md``."""
        return f"{_HEAD}\n{table(_COLUMNS, map(_cells, self.rows))}"


def begin(  # noqa: PLR0913  an experiment, its folder and its data
    out: Path, experiment: Experiment, epochs: int, data: Dataset, record: DataRecord, *, resume: bool
) -> Run:
    """Create the run of an experiment, or open the existing one to resume it.

    Raises:
        TrainingError: the run exists and ``resume`` is false, or it began with other images or settings.
    """
    folder, config = experiment.folder(out), experiment.config(epochs)
    if not (resume and (folder / "config.json").exists()):
        images = min(VALIDATION_IMAGES, -(-len(data.labels) // config.folds))  # of a smaller folder, one in ten
        return Run.create(folder, config, split_at_random(data, images, config.seed), record)
    run = Run(folder)
    run.check(data)
    if run.config != config:
        raise TrainingError(f"{folder}: this run began with other settings ({run.config.epochs} epochs); repeat those")
    return run


def read_table(out: Path) -> ExperimentTable:
    """The experiments that have a run in this folder, in the order of the specification."""
    begun = [experiment for experiment in EXPERIMENTS if (experiment.folder(out) / "config.json").exists()]
    return ExperimentTable(rows=tuple(_row(experiment, Run(experiment.folder(out))) for experiment in begun))


def write_table(out: Path) -> ExperimentTable:
    """Write ``table.md`` and ``table.json`` of the runs in this folder."""
    experiments = read_table(out)
    write_file(out / "table.md", experiments.markdown().encode())
    write_file(out / "table.json", f"{experiments.model_dump_json(indent=2)}\n".encode())
    return experiments


_HEAD = f"""\
Accuracy on validation images, at 0.5, after the last finished epoch and at the epoch of lowest validation loss. The
author's settings: {VALIDATION_IMAGES} random images validate (one in ten of a smaller folder). Other images of the same
patients were trained on, so the figures are too optimistic. The author reports accuracies by network and by
normalisation, not by pair.
"""
_COLUMNS = (
    "network",
    "normalisation",
    "epochs done",
    "validation images",
    "accuracy, last epoch",
    "accuracy, kept epoch",
    "author, by network",
    "author, by normalisation",
)


def _row(experiment: Experiment, run: Run) -> Row:
    history, split = run.history, run.split
    kept = best_epoch(history) if history else None
    return Row(
        architecture=experiment.architecture,
        normalisation=experiment.normalisation,
        epochs_done=len(history),
        epochs_planned=run.config.epochs,
        diverged=bool(history) and history[-1].diverged,
        train_images=len(split.train),
        validation_images=len(split.validation),
        last_accuracy=history[-1].val_accuracy if history else None,
        kept_epoch=kept.epoch if kept else None,
        kept_accuracy=kept.val_accuracy if kept else None,
        author_of_network=NETWORKS[experiment.architecture],
        author_of_normalisation=NORMALISED[experiment.normalisation],
    )


def _cells(row: Row) -> tuple[str, ...]:
    last = "" if row.last_accuracy is None else f"{row.last_accuracy:.3f}"
    kept = "" if row.kept_accuracy is None else f"{row.kept_accuracy:.3f} (epoch {row.kept_epoch})"
    epochs = f"{row.epochs_done} of {row.epochs_planned}{', diverged' * row.diverged}"
    images, author = str(row.validation_images), (row.author_of_network, row.author_of_normalisation)
    return row.architecture, row.normalisation, epochs, images, last, kept, *author
