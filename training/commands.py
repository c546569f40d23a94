"""What each command of ``python -m training`` does."""

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contract.bundle import MANIFEST, BundleError, read_bundle
from contract.drift import LEVELS, DriftReference
from training.data.dataset import Dataset, Skipped, load_dataset
from training.data.split import split_dataset
from training.errors import TrainingError, WrongUse
from training.evaluation.assess import assess, assess_bundle, keras_predict
from training.evaluation.evaluate import Results
from training.evaluation.outside import find_pictures
from training.exporting.drift import add_reference
from training.fitting.config import RECIPES, SPECIFICATION, TrainingConfig
from training.fitting.curves import draw_curves
from training.fitting.fit import fit
from training.fitting.progress import bar
from training.fitting.run import DataRecord, Run
from training.networks.architectures import ARCHITECTURES, NORMALISATIONS
from training.reporting.card import NO_ABOUT, about_of
from training.reporting.claims import EXPERIMENTS, Experiment, begin, write_table
from training.reporting.gallery import gallery
from training.reporting.page import write_report
from training.reporting.report import Others, measure_report, split_of
from training.reporting.tables import interval

_SKIPPED_SHOWN = 20
_progress = Console(stderr=True)


def run(arguments: argparse.Namespace) -> int:
    """Run the command that was parsed. Returns 0.

    Raises:
        TrainingError: it failed.
        WrongUse: it was called wrongly.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped container ends as Ctrl-C does
    try:
        _COMMANDS[arguments.command](arguments)
    except BundleError as error:
        raise TrainingError(str(error)) from None
    return 0


def train(arguments: argparse.Namespace) -> None:
    """Train a new run, or go on with one; measure it; save and print what was measured."""
    run, data = _resumed(arguments) if arguments.resume else _begun(arguments)
    with bar(_progress, "training") as steps:
        history = fit(run, data, steps, steps.epoch)
    if history[-1].diverged:
        raise TrainingError(
            f"{run.folder}: diverged in epoch {len(history)} (the loss is not a number); what came before is kept. "
            "A lower --learning-rate may help, or --normalisation rescale"
        )
    draw_curves(history, run.folder / "curves.png")
    assessment = assess(keras_predict(run.best_model()), data, run.split)
    (run.folder / "evaluation.json").write_text(assessment.model_dump_json(indent=2) + "\n")
    _print(assessment, [assessment.test, assessment.validation], arguments.json)


def evaluate(arguments: argparse.Namespace) -> None:
    """Measure a run or a bundle and print it."""
    if (arguments.model / MANIFEST).exists():
        bundle = read_bundle(arguments.model)
        folder = _data_folder(arguments, None)
        results = assess_bundle(bundle, _load(folder, arguments), folder.resolve().name)
        return _print(results, [results], arguments.json)
    run, data = _run_and_data(arguments.model, arguments)
    assessment = assess(keras_predict(run.best_model()), data, run.split)
    return _print(assessment, [assessment.test, assessment.validation], arguments.json)


def export(arguments: argparse.Namespace) -> None:
    """Write the bundle of a run and print its manifest, or what was measured."""
    from training.exporting.bundle import (  # TensorFlow, which no other command needs on another backend
        check_target,
        export_run,
    )

    check_target(arguments.bundle)
    run, data = _run_and_data(arguments.run, arguments)
    others = _others(arguments)
    with bar(_progress, "exporting, proving, measuring") as shifts:
        manifest, assessment = export_run(
            run, data, arguments.bundle, _about(arguments.about), others, cpu_graph=arguments.cpu_graph, progress=shifts
        )
    _print(manifest, [assessment.test, assessment.validation], arguments.json)


def report(arguments: argparse.Namespace) -> None:
    """Measure all that a report tells of a bundle; write the page and the record; print the record, or a summary."""
    bundle = read_bundle(arguments.bundle)
    data = _load(_data_folder(arguments, None), arguments)
    split, others = split_of(bundle.manifest, data), _others(arguments)
    with bar(_progress, "measuring") as shifts:
        record = measure_report(
            bundle.manifest, bundle.graph, data, split, others, about=about_of(bundle.card), progress=shifts
        )
    walls = None
    if not arguments.no_gallery:
        walls = gallery(bundle.graph, data.rows(split.test or split.validation), bundle.manifest.threshold)
    write_report(arguments.out, record, walls)
    _print(record, [record.held_out, record.elsewhere], arguments.json)


def reference(arguments: argparse.Namespace) -> None:
    """Write into a bundle what a service compares incoming images with, and print it."""
    data = _load(_data_folder(arguments, None), arguments)
    measured = add_reference(arguments.bundle, data)
    if arguments.json:
        print(measured.model_dump_json(indent=2))
    else:
        Console().print(_quantiles(measured))


def _quantiles(measured: DriftReference) -> Table:
    columns = ("brightness", "contrast", "probability")
    table = Table("%", *columns)
    for row, level in enumerate(LEVELS):
        table.add_row(f"{100 * level:.0f}", *(f"{getattr(measured, name)[row]:.4f}" for name in columns))
    return table


def table(arguments: argparse.Namespace) -> None:
    """Train what is missing of the experiment table; write and print it."""
    experiments = _experiments(arguments.only)
    folder = _data_folder(arguments, None)
    data = _load(folder, arguments)
    record = DataRecord.of(folder, data)
    for experiment in experiments:
        run = begin(arguments.out, experiment, arguments.epochs, data, record, resume=arguments.resume)
        try:
            with bar(_progress, experiment.name) as steps:
                fit(run, data, steps, steps.epoch)
        finally:  # what an interrupted run has is in the table too
            found = write_table(arguments.out)
    print(found.model_dump_json(indent=2) if arguments.json else found.markdown())


def _experiments(only: list[str] | None) -> list[Experiment]:
    if unknown := sorted(set(only or []) - {experiment.name for experiment in EXPERIMENTS}):
        raise WrongUse(f"--only {unknown[0]}: known are {', '.join(experiment.name for experiment in EXPERIMENTS)}")
    return [experiment for experiment in EXPERIMENTS if not only or experiment.name in only]


def _others(arguments: argparse.Namespace) -> Others:
    """What there is to measure on besides the data folder."""
    originals, elsewhere, foreign = arguments.originals, arguments.elsewhere, arguments.not_chest
    pictures = find_pictures(foreign, arguments.cache) if foreign else []
    _tell_skipped([skipped for kind in pictures for skipped in kind.skipped])
    return Others(
        originals=_load(originals, arguments) if originals else None,
        elsewhere=(elsewhere.resolve().name, _load(elsewhere, arguments)) if elsewhere else None,
        foreign=pictures,
    )


def _about(path: Path | None) -> str:
    if path is None:
        _progress.print("no --about: the model card will say that nobody stated for whom the model is meant")
        return NO_ABOUT
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise WrongUse(f"--about {path}: is not a readable text file") from None


def _begun(arguments: argparse.Namespace) -> tuple[Run, Dataset]:
    config = _config(arguments)
    for option, value, known in (
        ("architecture", config.architecture, ARCHITECTURES),
        ("normalisation", config.normalisation, NORMALISATIONS),
    ):
        if value not in known:
            raise WrongUse(f"--{option} {value}: known are {', '.join(known)}")
    folder = _data_folder(arguments, None)
    data = _load(folder, arguments)
    split = split_dataset(data, config.split, folds=config.folds, seed=config.seed)
    return Run.create(arguments.out, config, split, DataRecord.of(folder, data)), data


def _config(arguments: argparse.Namespace) -> TrainingConfig:
    try:
        return TrainingConfig.model_validate({**RECIPES[arguments.recipe or SPECIFICATION], **_given(arguments)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongUse(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None


def _resumed(arguments: argparse.Namespace) -> tuple[Run, Dataset]:
    if given := _given(arguments) or ({"recipe": ""} if arguments.recipe else {}):
        raise WrongUse(f"--{next(iter(given))}: a resumed run keeps the configuration it began with")
    return _run_and_data(arguments.resume, arguments)


def _given(arguments: argparse.Namespace) -> dict[str, str]:
    return {name: value for name in TrainingConfig.model_fields if (value := getattr(arguments, name)) is not None}


def _run_and_data(folder: Path, arguments: argparse.Namespace) -> tuple[Run, Dataset]:
    run = Run(folder)
    data = _load(_data_folder(arguments, run.data.folder), arguments)
    run.check(data)
    return run, data


def _data_folder(arguments: argparse.Namespace, known: Path | None) -> Path:
    folder: Path | None = arguments.data or known
    if folder is None:
        raise WrongUse("give --data, the folder of radiographs, or set XRAY_DATA")
    return folder


def _load(folder: Path, arguments: argparse.Namespace) -> Dataset:
    with bar(_progress, "reading images") as files:
        data = load_dataset(folder, arguments.cache, files)
    sizes = f"all {next(iter(data.sizes))}" if len(data.sizes) == 1 else f"{len(data.sizes)} different sizes"
    _progress.print(f"{len(data.radiographs)} images read ({sizes}), {len(data.skipped)} skipped", highlight=False)
    _tell_skipped(data.skipped)
    return data


def _tell_skipped(skipped: Sequence[Skipped]) -> None:
    for file in skipped[:_SKIPPED_SHOWN]:
        _progress.print(f"  skipped {file.name}: {file.reason}", highlight=False, markup=False)
    if len(skipped) > _SKIPPED_SHOWN:
        _progress.print(f"  and {len(skipped) - _SKIPPED_SHOWN} more; a run names them all in data.json")


def _print(record: BaseModel, results: list[Results | None], as_json: bool) -> None:
    if as_json:
        print(record.model_dump_json(indent=2))
        return
    measured = [part for part in results if part]
    table = Table("", *(escape(part.measured_on) for part in measured))
    table.add_row("images", *(str(part.images) for part in measured))
    table.add_row("patients", *(str(part.patients) for part in measured))
    table.add_row("threshold", *(f"{part.threshold:g}" for part in measured))
    for figure in ("auc", "accuracy", "sensitivity", "specificity"):
        table.add_row(figure, *(interval(getattr(part, figure)) for part in measured))
    Console().print(table)


_COMMANDS = {command.__name__: command for command in (train, evaluate, export, report, reference, table)}
