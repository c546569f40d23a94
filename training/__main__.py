"""``python -m training``: the command line of training. Progress on stderr, results on stdout."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from contract.bundle import GRAPH, CpuGraph
from contract.io.streams import prepare_streams, run_command
from training.errors import TrainingError, WrongUse
from training.fitting.config import RECIPES, TrainingConfig

DONE, FAILED, WRONG_USE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed, 2 wrong use (argparse itself exits with 2)."""
    if argv is None:  # this is the process of the command
        prepare_streams()
    return run_command(lambda: _run(argv), _say)


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: silences its start-up messages
    try:
        from training.cli import commands

        return commands.run(arguments)
    except ModuleNotFoundError as error:
        _say(f"{error.name} is not installed; pip install 'xray-inference[training]'")
    except WrongUse as error:
        parser.error(str(error))
    except TrainingError as error:
        _say(str(error))
    except KeyboardInterrupt:
        _say("interrupted; finished epochs are saved, continue with: train --resume RUN")
    return FAILED


def _say(message: str) -> None:
    print(f"training: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xray-training", description="Train, evaluate and export networks on chest radiographs."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_train(commands.add_parser("train", help="train a network on a data folder", description=_TRAIN))
    evaluate = commands.add_parser("evaluate", help="measure a run or a bundle", description=_EVALUATE)
    evaluate.add_argument("model", type=Path, help="folder of a run or of a bundle")
    export = commands.add_parser("export", help="make a bundle from a run", description=_EXPORT)
    export.add_argument("run", type=Path, help="a run's folder")
    export.add_argument("bundle", type=Path, help="the bundle to write: models/NAME/VERSION")
    export.add_argument("--about", type=Path, help="Markdown for the model card: intended use, warnings, data")
    export.add_argument(
        "--cpu-graph",
        choices=get_args(CpuGraph),
        default=GRAPH,
        help="the graph that a CPU runs. Default: %(default)s.",
    )
    report = commands.add_parser("report", help="write the full report on a bundle", description=_REPORT)
    report.add_argument("bundle", type=Path, help="a bundle's folder")
    report.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for report.html and report.json")
    report.add_argument("--no-gallery", action="store_true", help="leave out the example images, which show patients")
    reference = commands.add_parser(
        "reference", help="add the drift reference to an old bundle", description=_REFERENCE
    )
    reference.add_argument("bundle", type=Path, help="a bundle's folder")
    guard = commands.add_parser("guard", help="give a bundle's network a new input guard", description=_GUARD)
    guard.add_argument("bundle", type=Path, help="a bundle's folder")
    guard.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the new bundle: models/NAME/VERSION")
    guard.add_argument(
        "--about", type=Path, help="Markdown for the model card. Default: the text of the bundle's card."
    )
    table = commands.add_parser("table", help="repeat the specification's experiments", description=_TABLE)
    table.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="for the runs, table.md and table.json"
    )
    table.add_argument(
        "--epochs", type=_count, default=25, help="passes over the training images. Default: %(default)s."
    )
    table.add_argument("--only", nargs="+", metavar="NETWORK/NORMALISATION", help="only these of the nine experiments")
    table.add_argument("--resume", action="store_true", help="continue the runs that the folder holds")
    pack = commands.add_parser("pack", help="pack a data folder for a machine without network", description=_PACK)
    _add_pack(pack)
    for command in (export, report, guard):
        _add_extra_data(command)
    for command in (evaluate, export, report, reference, guard, table, pack):
        _add_common(command)
    return parser


_TRAIN = "Train a network. After an interruption, --resume continues from the last finished epoch."
_EVALUATE = (
    "A run is measured on its held-out patients, at a threshold chosen on its validation patients. A bundle is "
    "measured on every image of the data folder, at its own threshold."
)
_EXPORT = (
    "Export a run to ONNX, verify that graph and network agree, measure the graph on held-out patients, write the "
    "bundle."
)
_REPORT = (
    "Measure a bundle on the patients its network was not trained on, under realistic shifts, and on the additional "
    "data given, and write one HTML and one JSON file. --data must be the folder that contains the images it was "
    "trained on. The HTML file shows radiographs of patients, unless --no-gallery is given."
)
_REFERENCE = (
    "Write the drift reference into the manifest of a bundle that has none: quantiles of brightness, contrast and "
    "probability of the validation patients' images. Nothing else in the bundle changes. --data must be the folder "
    "that contains the images it was trained on. New bundles get the reference at export."
)
_GUARD = (
    "Fit the input guard of a bundle of several populations anew, and write it with the same network as a new bundle. "
    "Probabilities, heatmaps and thresholds stay as they are, and so do their figures in the card. --data must be the "
    "folder that contains the images it was trained on."
)
_TABLE = (
    "Train each network with each input normalisation by the author's protocol, and compare the accuracies with the "
    "author's. The protocol validates on 522 random images, so the figures are too optimistic. After an interruption, "
    "continue with --resume."
)
_PACK = (
    "Write the radiographs of a data folder, or of the sources that a JSON file lists, and their tables as tar files "
    "of limited size. Unpacked into one folder they are data to train on: tools/train_on_gpu.sh does both."
)


def _count(text: str) -> int:
    if not text.isdecimal() or (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return number


def _add_train(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="RUN", help="folder of the new run")
    target.add_argument("--resume", type=Path, metavar="RUN", help="folder of the run to continue")
    _add_common(parser)
    options = parser.add_argument_group("configuration, saved with the run")
    options.add_argument(
        "--recipe",
        choices=RECIPES,
        help="Named settings; options given in addition override them. "
        "specification: the defaults below. robust: compact, trained to work on images of other hospitals too; "
        "populations: the same for several populations. pretrained: a network that begins with weights of ImageNet.",
    )
    for name, field in TrainingConfig.model_fields.items():
        options.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{field.description} Default: {field.default}.".replace("%", "%%"),
        )


def _add_pack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for part-00.tar, part-01.tar, ...")
    parser.add_argument(
        "--part-mib", type=_count, default=60, metavar="N", help="the size of one archive. Default: %(default)s MiB."
    )


def _add_extra_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--originals",
        type=Path,
        metavar="DIR",
        help="full-size originals of images in --data, with the same file names",
    )
    parser.add_argument(
        "--elsewhere", type=Path, metavar="DIR", help="radiographs of another population: NORMAL/ and PNEUMONIA/"
    )
    parser.add_argument(
        "--not-chest",
        type=Path,
        metavar="DIR",
        help="images that are not frontal chest radiographs, one folder per kind",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    data = os.environ.get("XRAY_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(data) if data else None,
        help="folder with NORMAL/ and PNEUMONIA/, or with train/, val/ and test/ that contain these. "
        "Default: XRAY_DATA, then the folder that the run was trained on.",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".cache/pixels"), help="folder for decoded images. Default: %(default)s."
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


if __name__ == "__main__":
    sys.exit(main())
