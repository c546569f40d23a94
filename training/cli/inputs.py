"""Loads what a command's options name: runs, configurations and data."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from contract.bundle import MANIFEST, read_bundle
from contract.image import IMAGE_CONTRACT
from contract.io.messages import first_error
from training.data.dataset import Dataset, Skipped, load_dataset
from training.data.split import Split, split_dataset
from training.errors import WrongUse
from training.evaluation.out_of_distribution import find_image_groups
from training.fitting.config import RECIPES, SPECIFICATION, TrainingConfig
from training.fitting.progress import bar
from training.fitting.run import DataRecord, Run
from training.networks.architectures import ARCHITECTURES, NORMALISATIONS
from training.reporting.card import NO_ABOUT
from training.reporting.report import ExtraData

PROGRESS = Console(stderr=True)
_SKIPPED_SHOWN = 20
# The parts of a configuration that decide which images are held out.
_SPLITTING = {"split", "folds", "seed"}


def extra_data(arguments: argparse.Namespace, contract: int = IMAGE_CONTRACT) -> ExtraData:
    """Load the additional data to measure on: originals, another population, images that are not chest radiographs."""
    originals, elsewhere, not_chest = arguments.originals, arguments.elsewhere, arguments.not_chest
    groups = find_image_groups(not_chest, arguments.cache, contract) if not_chest else []
    report_skipped([skipped for group in groups for skipped in group.skipped])
    return ExtraData(
        originals=load(originals, arguments, contract) if originals else None,
        elsewhere=(elsewhere.resolve().name, load(elsewhere, arguments, contract)) if elsewhere else None,
        not_chest=groups,
    )


def about_text(path: Path | None) -> str:
    """The text of ``--about`` for the model card.

    Raises:
        WrongUse: the file cannot be read.
    """
    if path is None:
        PROGRESS.print("no --about: the model card will say that the intended use is not stated")
        return NO_ABOUT
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise WrongUse(f"--about {path}: not a readable text file") from None


def begin_run(arguments: argparse.Namespace) -> tuple[Run, Dataset]:
    """Create the run that the options describe.

    Raises:
        WrongUse: an option has an unknown value, or names a network that was trained on what is held out here.
    """
    config = _config(arguments)
    for option, value, known in (
        ("architecture", config.architecture, ARCHITECTURES),
        ("normalisation", config.normalisation, NORMALISATIONS),
    ):
        if value not in known:
            raise WrongUse(f"--{option} {value}: unknown; choose from {', '.join(known)}")
    begun_with = [Path(name) for name in (config.start, *config.teachers.split(",")) if name]
    for path in begun_with:
        if not ((path / MANIFEST).exists() or (path / "config.json").exists()):
            raise WrongUse(f"--start, --teachers: {path} is no folder of a run or of a bundle")
    folder = data_folder(arguments, None)
    data = load(folder, arguments)
    split = split_dataset(data, config.split, folds=config.folds, seed=config.seed)
    for path in begun_with:
        _check_held_out(path, split, config, data.fingerprint)
    return Run.create(arguments.out, config, split, DataRecord.of(folder, data)), data


def _check_held_out(path: Path, split: Split, config: TrainingConfig, fingerprint: str) -> None:
    """Check that a run or bundle whose network is learned from was not trained on what is held out here, as far as that
    can be known: where it was trained on the same images.

    Raises:
        WrongUse: it was.
    """
    if (path / MANIFEST).exists():
        known = read_bundle(path).manifest.provenance
        same = {name: known.configuration.get(name) for name in _SPLITTING} == config.model_dump(include=_SPLITTING)
        seen = known.data_fingerprint == fingerprint and not same
    else:
        run = Run(path)
        held_out = {*split.validation, *split.test}
        seen = run.data.fingerprint == fingerprint and not held_out.isdisjoint(run.split.train)
    if seen:
        raise WrongUse(
            f"--start, --teachers: {path} was trained on images that are held out here: the figures would be too good. "
            "Give the same --seed, --folds and --split"
        )


def _config(arguments: argparse.Namespace) -> TrainingConfig:
    try:
        return TrainingConfig.model_validate({**RECIPES[arguments.recipe or SPECIFICATION], **_given(arguments)})
    except ValidationError as error:
        where, words = first_error(error)
        raise WrongUse(f"--{where.replace('_', '-')}: {words}") from None


def resume_run(arguments: argparse.Namespace) -> tuple[Run, Dataset]:
    """Load the run that ``--resume`` names, and its data.

    Raises:
        WrongUse: options of the configuration were given too.
    """
    if given := _given(arguments) or ({"recipe": ""} if arguments.recipe else {}):
        raise WrongUse(f"--{next(iter(given))}: a resumed run keeps its configuration; leave this option out")
    return run_and_data(arguments.resume, arguments)


def _given(arguments: argparse.Namespace) -> dict[str, str]:
    return {name: value for name in TrainingConfig.model_fields if (value := getattr(arguments, name)) is not None}


def run_and_data(folder: Path, arguments: argparse.Namespace) -> tuple[Run, Dataset]:
    """Load a run and its data, and check the data against the run's fingerprint."""
    run = Run(folder)
    data = load(data_folder(arguments, run.data.folder), arguments)
    run.check(data)
    return run, data


def data_folder(arguments: argparse.Namespace, known: Path | None) -> Path:
    """The folder of radiographs: from ``--data`` (or XRAY_DATA), otherwise the known one.

    Raises:
        WrongUse: neither is given.
    """
    folder: Path | None = arguments.data or known
    if folder is None:
        raise WrongUse("give --data, the folder of radiographs, or set XRAY_DATA")
    return folder


def load(folder: Path, arguments: argparse.Namespace, contract: int = IMAGE_CONTRACT) -> Dataset:
    """Read a data folder; show progress and skipped files on stderr."""
    with bar(PROGRESS, "reading images") as files:
        data = load_dataset(folder, arguments.cache, files, contract)
    sizes = f"all {next(iter(data.sizes))}" if len(data.sizes) == 1 else f"{len(data.sizes)} different sizes"
    PROGRESS.print(f"{len(data.radiographs)} images read ({sizes}), {len(data.skipped)} skipped", highlight=False)
    report_skipped(data.skipped)
    return data


def report_skipped(skipped: Sequence[Skipped]) -> None:
    """List the skipped files on stderr, the first 20 by name."""
    if contradictory := sum(file.contradictory for file in skipped):
        PROGRESS.print(
            f"  {contradictory} of these are images with both labels: one of the labels is wrong, so they are neither "
            "trained on nor measured on",
            highlight=False,
        )
    for file in skipped[:_SKIPPED_SHOWN]:
        PROGRESS.print(f"  skipped {file.name}: {file.reason}", highlight=False, markup=False)
    if len(skipped) > _SKIPPED_SHOWN:
        PROGRESS.print(f"  and {len(skipped) - _SKIPPED_SHOWN} more; a run's data.json lists them all")
