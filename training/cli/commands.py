"""The commands of ``python -m training``, one function each."""

import argparse
import json
import signal

from rich.console import Console

from contract.bundle import MANIFEST, BundleError, read_bundle
from contract.io.files import write_file
from training.cli.inputs import (
    PROGRESS,
    about_text,
    begin_run,
    data_folder,
    extra_data,
    load,
    resume_run,
    run_and_data,
)
from training.cli.printing import print_record, quantiles_table
from training.data.packing import pack as pack_data
from training.errors import TrainingError, WrongUse
from training.evaluation.assess import assess, assess_bundle, keras_predict
from training.exporting.drift import add_reference
from training.fitting.curves import draw_curves
from training.fitting.fit import fit
from training.fitting.progress import bar
from training.fitting.run import DataRecord
from training.reporting.card import about_of
from training.reporting.experiments import EXPERIMENTS, Experiment, begin, write_table
from training.reporting.gallery import gallery
from training.reporting.page import write_report
from training.reporting.report import measure_report, split_of


def run(arguments: argparse.Namespace) -> int:
    """Run the command that was parsed. Returns 0.

    Raises:
        TrainingError: the command failed.
        WrongUse: the command was called with wrong arguments.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopping a container ends the command as Ctrl-C does
    try:
        _COMMANDS[arguments.command](arguments)
    except BundleError as error:
        raise TrainingError(str(error)) from None
    except OSError as error:  # a full disk, for example
        raise TrainingError(f"{error.filename or arguments.command}: {error.strerror or error}") from error
    return 0


def train(arguments: argparse.Namespace) -> None:
    """Train a new run or resume one; measure it; save and print the figures.

    Raises:
        TrainingError: the training diverged.
    """
    run, data = resume_run(arguments) if arguments.resume else begin_run(arguments)
    with bar(PROGRESS, "training") as steps:
        history = fit(run, data, steps, steps.epoch)
    if history[-1].diverged:
        raise TrainingError(
            f"{run.folder}: diverged in epoch {len(history)} (the loss is not a number); earlier epochs are kept. "
            "A lower --learning-rate or --normalisation rescale may help"
        )
    draw_curves(history, run.folder / "curves.png")
    assessment = assess(keras_predict(run.best_model()), data, run.split)
    write_file(run.folder / "evaluation.json", f"{assessment.model_dump_json(indent=2)}\n".encode())
    print_record(assessment, [assessment.test, assessment.validation], arguments.json)


def evaluate(arguments: argparse.Namespace) -> None:
    """Measure a run or a bundle and print it."""
    if (arguments.model / MANIFEST).exists():
        bundle = read_bundle(arguments.model)
        folder = data_folder(arguments, None)
        data = load(folder, arguments, bundle.manifest.image_contract)
        results = assess_bundle(bundle, data, folder.resolve().name)
        return print_record(results, [results], arguments.json)
    run, data = run_and_data(arguments.model, arguments)
    assessment = assess(keras_predict(run.best_model()), data, run.split)
    return print_record(assessment, [assessment.test, assessment.validation], arguments.json)


def export(arguments: argparse.Namespace) -> None:
    """Write the bundle of a run and print its manifest, or the figures as a table."""
    from training.exporting.bundle import (  # imports TensorFlow, which the other commands need only as their backend
        check_target,
        export_run,
    )

    check_target(arguments.bundle)
    run, data = run_and_data(arguments.run, arguments)
    extra = extra_data(arguments)
    with bar(PROGRESS, "exporting, verifying, measuring") as shifts:
        manifest, assessment = export_run(
            run,
            data,
            arguments.bundle,
            about_text(arguments.about),
            extra,
            cpu_graph=arguments.cpu_graph,
            progress=shifts,
        )
    print_record(manifest, [assessment.test, assessment.validation], arguments.json)


def report(arguments: argparse.Namespace) -> None:
    """Measure a bundle for its report; write ``report.html`` and ``report.json``; print the record or a summary."""
    bundle = read_bundle(arguments.bundle)
    contract = bundle.manifest.image_contract
    data = load(data_folder(arguments, None), arguments, contract)
    split, extra = split_of(bundle.manifest, data), extra_data(arguments, contract)
    with bar(PROGRESS, "measuring") as shifts:
        record = measure_report(
            bundle.manifest, bundle.graph, data, split, extra, about=about_of(bundle.card), progress=shifts
        )
    examples = None
    if not arguments.no_gallery:
        examples = gallery(bundle.graph, data.rows(split.test or split.validation), bundle.manifest.threshold)
    write_report(arguments.out, record, examples)
    print_record(record, [record.held_out, record.elsewhere], arguments.json)


def reference(arguments: argparse.Namespace) -> None:
    """Write the drift reference into a bundle, and print it."""
    contract = read_bundle(arguments.bundle).manifest.image_contract
    data = load(data_folder(arguments, None), arguments, contract)
    measured = add_reference(arguments.bundle, data)
    if arguments.json:
        print(measured.model_dump_json(indent=2))
    else:
        Console().print(quantiles_table(measured))


def guard(arguments: argparse.Namespace) -> None:
    """Write a bundle with the network of another one and a new input guard, and print its figures."""
    from training.exporting.bundle import check_target
    from training.exporting.refit import refit_guard

    check_target(arguments.out)
    bundle = read_bundle(arguments.bundle)
    contract = bundle.manifest.image_contract
    data = load(data_folder(arguments, None), arguments, contract)
    about = about_text(arguments.about) if arguments.about else about_of(bundle.card)
    manifest = refit_guard(bundle, data, arguments.out, about, extra_data(arguments, contract))
    if arguments.json:
        print(manifest.model_dump_json(indent=2))
    else:
        Console().print_json(data=manifest.results["guard"])


def table(arguments: argparse.Namespace) -> None:
    """Train the experiments that are missing in the table; write and print the table."""
    experiments = _experiments(arguments.only)
    folder = data_folder(arguments, None)
    data = load(folder, arguments)
    record = DataRecord.of(folder, data)
    for experiment in experiments:
        run = begin(arguments.out, experiment, arguments.epochs, data, record, resume=arguments.resume)
        try:
            with bar(PROGRESS, experiment.name) as steps:
                fit(run, data, steps, steps.epoch)
        finally:  # the finished epochs of an interrupted run go into the table too
            written = write_table(arguments.out)
    print(written.model_dump_json(indent=2) if arguments.json else written.markdown())


def pack(arguments: argparse.Namespace) -> None:
    """Write a data set into archives, and print their names."""
    written = [str(path) for path in pack_data(data_folder(arguments, None), arguments.out, arguments.part_mib << 20)]
    print(json.dumps(written) if arguments.json else "\n".join(written))


def _experiments(only: list[str] | None) -> list[Experiment]:
    if unknown := sorted(set(only or []) - {experiment.name for experiment in EXPERIMENTS}):
        known = ", ".join(experiment.name for experiment in EXPERIMENTS)
        raise WrongUse(f"--only {unknown[0]}: unknown experiment; choose from {known}")
    return [experiment for experiment in EXPERIMENTS if not only or experiment.name in only]


_COMMANDS = {command.__name__: command for command in (train, evaluate, export, report, reference, guard, table, pack)}
