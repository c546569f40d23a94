"""``python -m service``: serve (the default), predict, validate, settings, keys, audit, bundle and openapi."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from pydantic import ValidationError

from contract.bundle import BundleError
from service.access import command as keys_command
from service.access.keys import KeyFileError
from service.audit import command as audit_command
from service.cli import bundle as bundle_command
from service.client.command import predict
from service.client.objects import ObjectPredictor
from service.client.options import add_options
from service.errors import DeviceError
from service.settings import Settings, SettingsError, explain
from service.settings.options import LOCAL, add_settings, given_in_file, given_options, settings_of
from service.validation import command as validation_command
from service.wire import VERSION, printable

NEWLINE = "\n"
DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130  # exit codes


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _main(argv: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0].startswith("-") and given[0] not in {"-h", "--help", "--version"}):
        given = ["serve", *given]
    arguments = _parser().parse_args(given)
    try:
        settings = settings_of(arguments)
    except ValidationError as error:
        return _fail(explain(error), WRONG_USE)
    except SettingsError as error:
        return _fail(str(error), WRONG_USE)
    try:
        return _run(arguments, settings)
    except SettingsError as error:
        return _fail(str(error), WRONG_USE)
    except (BundleError, DeviceError, KeyFileError, audit_command.AuditCommandError) as error:
        return _fail(str(error), FAILED)
    except ModuleNotFoundError as error:
        extra = "[client]'" if getattr(arguments, "url", None) else "[cpu]' (or [gpu])"
        return _fail(f"{error.name} is not installed; pip install 'xray-inference{extra}", FAILED)


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.command == "keys":
        keys_command.run(arguments, settings)
        return DONE
    if arguments.command == "audit":
        return DONE if audit_command.run(arguments, settings) else FAILED
    if arguments.command == "bundle":
        bundle_command.run(arguments, settings)
        return DONE
    if arguments.command == "predict":
        return predict(settings, arguments, _open_local)
    if arguments.command == "validate":
        return DONE if validation_command.validate(settings, arguments, _open_local) else FAILED
    return _run_service(arguments, settings)


def _run_service(arguments: argparse.Namespace, settings: Settings) -> int:
    from service.cli import commands  # imported late: it imports onnxruntime, which --help and clients do not need

    if arguments.command == "settings":
        given = given_options(arguments), given_in_file(arguments)
        commands.print_settings(settings, *given, as_json=arguments.json)
        return DONE
    if arguments.command == "openapi":
        commands.print_openapi(settings)
        return DONE
    return DONE if commands.serve(settings) else FAILED


def _open_local(settings: Settings) -> AbstractAsyncContextManager[ObjectPredictor]:
    from service.cli import commands  # as above

    return commands.open_local(settings)


def _fail(message: str, code: int) -> int:
    # It may quote a server or a file. A single write, so that lines of several workers do not mix.
    sys.stderr.write(f"xray-service: {printable(message, keep=NEWLINE)}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xray-service",
        description="Detects pneumonia on frontal chest radiographs. Not a medical device.",
        epilog="Without a command: serve. Each setting can also be given as an environment variable: XRAY_ and its "
        "name in upper case.",
    )
    parser.add_argument("--version", action="version", version=f"xray-service {VERSION}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{serve,predict,validate,settings,keys,audit,bundle,openapi}"
    )
    serve = commands.add_parser("serve", help="run the HTTP service (the default)", description="Run the HTTP service.")
    predict_files = commands.add_parser("predict", help="analyse image files, locally or with a running service")
    add_options(predict_files)
    site = commands.add_parser("validate", help="measure the model on a site's own labelled radiographs")
    validation_command.add_options(site)
    show = commands.add_parser(
        "settings",
        help="print the settings in effect",
        description="Print every setting with its value and its source, and XRAY_* variables that are not settings.",
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    document = commands.add_parser(
        "openapi",
        help="print the OpenAPI document",
        description="Print the OpenAPI document of the service as JSON with sorted keys.",
    )
    for command in (serve, show):
        add_settings(command)
    for command in (predict_files, site, document):
        add_settings(command, LOCAL)
    keys_command.add_parser(commands)
    audit_command.add_parser(commands)
    bundle_command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
