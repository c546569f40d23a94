"""The command line: serve (the default), predict, bulk, validate, settings, keys, audit and others."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import ModuleType

import argcomplete
from pydantic import ValidationError

from contract.bundle import BundleError
from contract.io.streams import run_command
from service.access import command as keys_command
from service.access.keys import KeyFileError
from service.audit import command as audit_command
from service.bulk import command as bulk_command
from service.cli import DONE, FAILED, WRONG_USE
from service.cli import bundle as bundle_command
from service.cli.interrupt import exit_on_interrupt
from service.client.command import predict
from service.client.objects import ObjectPredictor
from service.client.options import add_options
from service.errors import DeviceError
from service.settings import Settings, SettingsError, explain
from service.settings.options import LOCAL, add_settings, given_in_file, given_options
from service.settings.sources import settings_from
from service.validation import command as validation_command
from service.wire import VERSION, printable

NEWLINE = "\n"


def run(given: list[str]) -> int:
    """Run the command of a command line without its program. Returns the exit code."""
    if not given or (given[0].startswith("-") and given[0] not in {"-h", "--help", "--version"}):
        given = ["serve", *given]
    if given[0] == "serve":  # what fails there is no output
        return _run(given)
    return run_command(lambda: _run(given), lambda message: _fail(message, FAILED))


def _run(given: list[str]) -> int:
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell requests completions of the command line
        argcomplete.autocomplete(parser)
    arguments = parser.parse_args(given)
    try:
        return _RUN[arguments.command](arguments, _given(arguments))
    except SettingsError as error:
        return _fail(str(error), WRONG_USE)
    except (BundleError, DeviceError, KeyFileError, audit_command.AuditCommandError) as error:
        return _fail(str(error), FAILED)
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed; pip install 'xray-inference{_extra(error, arguments)}", FAILED)


def _extra(error: ModuleNotFoundError, arguments: argparse.Namespace) -> str:
    """The extra that contains the missing package."""
    if own := {"pyarrow": "bulk", "ray": "cluster"}.get((error.name or "").partition(".")[0]):
        return f"[cpu,{own}]' (or [gpu,{own}])"
    return "[client]'" if getattr(arguments, "url", None) else "[cpu]' (or [gpu])"


@dataclass(frozen=True, slots=True)
class _Given:
    """The settings in effect, and those given by options and by the settings file."""

    settings: Settings
    options: dict[str, str]
    file: dict[str, object]


def _given(arguments: argparse.Namespace) -> _Given:
    options, file = given_options(arguments), given_in_file(arguments)
    try:
        return _Given(settings_from(options, file), options, file)
    except ValidationError as error:
        raise SettingsError(explain(error)) from None


def _serve(_: argparse.Namespace, given: _Given) -> int:
    return DONE if _commands().serve(given.settings) else FAILED


def _predict(arguments: argparse.Namespace, given: _Given) -> int:
    return predict(given.settings, arguments, _open_local)


def _bulk(arguments: argparse.Namespace, given: _Given) -> int:
    return bulk_command.run(arguments, given.settings)


def _validate(arguments: argparse.Namespace, given: _Given) -> int:
    return DONE if validation_command.validate(given.settings, arguments, _open_local) else FAILED


def _settings(arguments: argparse.Namespace, given: _Given) -> int:
    _commands().print_settings(given.settings, given.options, given.file, as_json=arguments.json)
    return DONE


def _keys(arguments: argparse.Namespace, given: _Given) -> int:
    keys_command.run(arguments, given.settings)
    return DONE


def _audit(arguments: argparse.Namespace, given: _Given) -> int:
    return DONE if audit_command.run(arguments, given.settings) else FAILED


def _bundle(arguments: argparse.Namespace, given: _Given) -> int:
    bundle_command.run(arguments, given.settings)
    return DONE


def _openapi(_: argparse.Namespace, given: _Given) -> int:
    _commands().print_openapi(given.settings)
    return DONE


def _completion(arguments: argparse.Namespace, _: _Given) -> int:
    sys.stdout.write(argcomplete.shell_integration.shellcode(["xray-service"], shell=arguments.shell))
    return DONE


_RUN: dict[str, Callable[[argparse.Namespace, _Given], int]] = {
    "serve": _serve,
    "predict": _predict,
    "bulk": _bulk,
    "validate": _validate,
    "settings": _settings,
    "keys": _keys,
    "audit": _audit,
    "bundle": _bundle,
    "openapi": _openapi,
    "completion": _completion,
}


def _commands() -> ModuleType:
    """Imported late, because it imports onnxruntime, which --help and clients do not need."""
    with exit_on_interrupt():
        from service.cli import commands
    return commands


def _open_local(settings: Settings) -> AbstractAsyncContextManager[ObjectPredictor]:
    opening: AbstractAsyncContextManager[ObjectPredictor] = _commands().open_local(settings)
    return opening


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
    commands = parser.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(_RUN)}}}")
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
    bulk_command.add_parser(commands)
    keys_command.add_parser(commands)
    audit_command.add_parser(commands)
    bundle_command.add_parser(commands)
    completion = commands.add_parser(
        "completion",
        help="print a script for shell completion",
        description="Print a script that makes a shell complete commands, options and choices. For bash: eval "
        '"$(xray-service completion bash)" in ~/.bashrc.',
    )
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])
    return parser
