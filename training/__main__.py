"""``python -m training``: the command line of training. Progress on stderr, results on stdout."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from contract.bundle import GRAPH, CpuGraph
from training.errors import TrainingError, WrongUse
from training.fitting.config import RECIPES, TrainingConfig

DONE, FAILED, WRONG_USE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 done, 1 failed, 2 wrong use (argparse exits with it by itself)."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: its start-up chatter
    try:
        from training.cli import commands

        return commands.run(arguments)
    except ModuleNotFoundError as error:
        print(f"training: {error.name} is not installed; pip install 'xray-inference[training]'", file=sys.stderr)
    except WrongUse as error:
        parser.error(str(error))
    except TrainingError as error:
        print(f"training: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("training: interrupted; finished epochs are saved, go on with: train --resume RUN", file=sys.stderr)
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xray-training", description="Train, evaluate and export networks on chest radiographs."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_train(commands.add_parser("train", help="train a network on a data folder", description=_TRAIN))
    evaluate = commands.add_parser("evaluate", help="measure a run or a bundle", description=_EVALUATE)
    evaluate.add_argument("model", type=Path, help="a run's folder, or a bundle's")
    export = commands.add_parser("export", help="make a bundle of a run", description=_EXPORT)
    export.add_argument("run", type=Path, help="a run's folder")
    export.add_argument("bundle", type=Path, help="the bundle to write: models/NAME/VERSION")
    export.add_argument("--about", type=Path, help="Markdown for the model card: intended use, warnings, data")
    export.add_argument(
        "--cpu-graph", choices=get_args(CpuGraph), default=GRAPH, help="what a CPU serves. Default: %(default)s."
    )
    report = commands.add_parser("report", help="write all that is known of a bundle", description=_REPORT)
    report.add_argument("bundle", type=Path, help="a bundle's folder")
    report.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for report.html and report.json")
    report.add_argument(
        "--no-gallery", action="store_true", help="leave out the examples, which are images of patients"
    )
    reference = commands.add_parser(
        "reference", help="add what incoming images are compared with", description=_REFERENCE
    )
    reference.add_argument("bundle", type=Path, help="a bundle's folder")
    table = commands.add_parser("table", help="repeat the specification's experiments", description=_TABLE)
    table.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="for the runs, table.md and table.json"
    )
    table.add_argument(
        "--epochs", type=_count, default=25, help="passes over the training images. Default: %(default)s."
    )
    table.add_argument("--only", nargs="+", metavar="NETWORK/NORMALISATION", help="these experiments, not all nine")
    table.add_argument("--resume", action="store_true", help="go on with the runs that are in the folder")
    for command in (export, report):
        _add_others(command)
    for command in (evaluate, export, report, reference, table):
        _add_common(command)
    return parser


_TRAIN = "Train a network. Interrupted, it goes on from the last finished epoch with --resume."
_EVALUATE = (
    "A run is measured on the patients it held out; the threshold is chosen on its validation patients. A bundle is "
    "measured on every image of the data folder, at its own threshold."
)
_EXPORT = (
    "Export a run to ONNX, prove that the graph is the network, measure it on held-out patients, write the bundle."
)
_REPORT = (
    "Measure a bundle on the patients its network was not trained on, under realistic shifts, and on whatever else is "
    "given, and write one HTML and one JSON file. --data must be the images it was trained on. The HTML file shows "
    "radiographs of patients, unless --no-gallery is given."
)
_REFERENCE = (
    "Write the drift reference into the manifest of a bundle that was made without one: quantiles of brightness, "
    "contrast and probability of the validation patients' images. Nothing else of the bundle changes. --data must be "
    "the images it was trained on. Bundles of this version have it from their export."
)
_TABLE = (
    "Train each network with each input normalisation by the author's protocol (522 images drawn at random validate: "
    "the figures flatter) and set the accuracies beside the author's. Interrupted, it goes on with --resume."
)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _add_train(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="RUN", help="folder of the new run")
    target.add_argument("--resume", type=Path, metavar="RUN", help="folder of the run to go on with")
    _add_common(parser)
    options = parser.add_argument_group("configuration, saved with the run")
    options.add_argument(
        "--recipe",
        choices=RECIPES,
        help="Settings to begin from; what is given beside it holds before it. "
        "specification: the defaults below. robust: compact, trained to hold on images taken elsewhere.",
    )
    for name, field in TrainingConfig.model_fields.items():
        options.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{field.description} Default: {field.default}.".replace("%", "%%"),
        )


def _add_others(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--originals", type=Path, metavar="DIR", help="full-size files of images of --data, under the same file names"
    )
    parser.add_argument(
        "--elsewhere", type=Path, metavar="DIR", help="radiographs of other people: NORMAL/ and PNEUMONIA/"
    )
    parser.add_argument(
        "--not-chest", type=Path, metavar="DIR", help="images that are no frontal chest radiographs, in folders by kind"
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    data = os.environ.get("XRAY_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(data) if data else None,
        help="folder with NORMAL/ and PNEUMONIA/, or train/ val/ test/ of these. Default: XRAY_DATA, else the run's.",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".cache/pixels"), help="folder for decoded images. Default: %(default)s."
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


if __name__ == "__main__":
    sys.exit(main())
