"""``python -m service``: serve (the default), predict files without a server, settings, keys, audit."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from contract.bundle import BundleError
from service import audit_command, keys_command
from service.keys import KeyFileError
from service.settings import Settings, SettingsError, explain, settings_from

DONE, FAILED, WRONG_USE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 done, 1 failed, 2 wrong use."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0].startswith("-") and given[0] not in {"-h", "--help"}):
        given = ["serve", *given]
    arguments = _parser().parse_args(given)
    try:
        settings = settings_from(_options(arguments))
    except ValidationError as error:
        return _complain(explain(error), WRONG_USE)
    try:
        if arguments.command == "keys":
            keys_command.run(arguments, settings)
            return DONE
        return _run(arguments, settings)
    except SettingsError as error:
        return _complain(str(error), WRONG_USE)
    except (KeyFileError, audit_command.AuditCommandError) as error:
        return _complain(str(error), FAILED)
    except ModuleNotFoundError as error:
        return _complain(f"{error.name} is not installed; pip install 'xray-inference[cpu]' (or [gpu])", FAILED)


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.command == "audit":
        return DONE if audit_command.run(arguments, settings) else FAILED
    from service import commands  # with it comes onnxruntime, which --help does without

    try:
        if arguments.command == "predict":
            return DONE if commands.predict(settings, arguments.files, as_json=arguments.json) else FAILED
        if arguments.command == "settings":
            commands.print_settings(settings, _options(arguments), as_json=arguments.json)
            return DONE
        return DONE if commands.serve(settings) else FAILED
    except (BundleError, commands.DeviceError) as error:
        return _complain(str(error), FAILED)


def _complain(message: str, code: int) -> int:
    print(f"xray-service: {message}", file=sys.stderr)
    return code


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    return {name: value for name in Settings.model_fields if (value := getattr(arguments, name, None)) is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xray-service",
        description="Reads frontal chest radiographs for pneumonia. Not a medical device.",
        epilog="Without a command: serve. Each option is also an environment variable, XRAY_ and its name.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{serve,predict,settings,keys,audit}")
    serve = commands.add_parser("serve", help="answer over HTTP (the default)", description="Answer over HTTP.")
    predict = commands.add_parser(
        "predict",
        help="read files without a server",
        description="Read image files by the same way as the server. Exit code 1 if any of them could not be read.",
    )
    predict.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a JPEG or PNG")
    predict.add_argument("--json", action="store_true", help="print the answer as the server would send it")
    show = commands.add_parser(
        "settings",
        help="print the settings in effect",
        description="Print every setting with its value and where that comes from, and variables XRAY_* that are none.",
    )
    show.add_argument("--json", action="store_true", help="print them as JSON")
    for command in (serve, predict, show):
        _add_settings(command)
    keys_command.add_parser(commands)
    audit_command.add_parser(commands)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings")
    for name, field in Settings.model_fields.items():
        default = "" if name == "model" or field.default is None else f" Default: {field.default}."
        group.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=f"{field.description}{default}")


if __name__ == "__main__":
    sys.exit(main())
