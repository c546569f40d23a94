"""The options of ``predict``, and which of them can be combined."""

import argparse
import os
from pathlib import Path
from typing import get_args

from service.client.results import Format
from service.settings import CLIENT_KEY_VARIABLE, Settings, SettingsError

_DESCRIPTION = """\
Analyse image files, and all images in folders and their subfolders, with the model on this machine, or with a running
service (--url). Results come in the order of the files. Exit code 0: all files were analysed; 1: some failed; 2: wrong
usage; 130: Ctrl-C. The exit code does not depend on the labels (PNEUMONIA or NORMAL).
"""
# The settings that also apply with --url.
_CLIENT_SETTINGS = {"operating_point", "population", "max_body_bytes"}
_URL_DEFAULTS = {"parallel": 4, "timeout": 60.0, "give_up_after": 120.0, "key_file": None, "ca_file": None}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``predict``, except the settings."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE|FOLDER", help="a JPEG, PNG or DICOM file, or a folder of them"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--format", choices=get_args(Format), help="default: table, or the format that the suffix of --output implies"
    )
    output.add_argument("--json", action="store_true", help="same as --format json: the response format of the service")
    output.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the results to FILE, which appears once all files are done; until then they are in FILE.part",
    )
    existing = output.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_true",
        help="keep the results of an interrupted run in --output, and analyse only the remaining files",
    )
    existing.add_argument("--force", action="store_true", help="replace FILE if it exists")
    for name, what in (("sr", "Structured Report"), ("heatmap", "heatmap")):
        output.add_argument(
            f"--{name}",
            type=Path,
            metavar="FOLDER",
            help=f"also write a {what} about each DICOM file into FOLDER, as a DICOM file named by its UID",
        )
    _add_url_options(parser.add_argument_group("remote service"))


def check_options(arguments: argparse.Namespace) -> None:
    """Reject options that cannot be combined, so that no option is silently ignored.

    Raises:
        SettingsError: names the option and the reason.
    """
    if arguments.json and arguments.format not in {None, "json"}:
        raise SettingsError(f"--json contradicts --format {arguments.format}")
    for name in ("resume", "force"):
        if getattr(arguments, name) and not arguments.output:
            raise SettingsError(f"--{name} requires --output")
    if arguments.url is None:
        given, reason = [name for name in _URL_DEFAULTS if getattr(arguments, name) is not None], "requires --url"
    else:
        local_only = set(Settings.model_fields) - _CLIENT_SETTINGS
        given = [name for name in sorted(local_only) if getattr(arguments, name) is not None]
        reason = "applies to the model on this machine, and cannot be combined with --url"
    if given:
        raise SettingsError(f"--{given[0].replace('_', '-')} {reason}")


def url_option(arguments: argparse.Namespace, name: str) -> float:
    """The value of a numeric option for ``--url``, or its default."""
    value = getattr(arguments, name)
    return float(_URL_DEFAULTS[name] or 0) if value is None else float(value)


def read_key(path: Path | None) -> str | None:
    """The API key to send: from the file, or else from the environment; None: send no key.

    Raises:
        SettingsError: the key cannot be read, or is malformed.
    """
    if path is None:
        source, text = CLIENT_KEY_VARIABLE, os.environ.get(CLIENT_KEY_VARIABLE)
    else:
        source, text = f"--key-file: {path}", _read_text(path)
    if text is None:
        return None
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{source} does not hold an API key: expected one line without spaces")
    return key


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--key-file: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"--key-file: {path} does not hold an API key: expected one line without spaces") from None


def _add_url_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--url", help="base URL of the service, such as http://host:8000; file names are not sent")
    group.add_argument(
        "--parallel", type=_count, metavar="N", help=f"concurrent requests. Default: {_URL_DEFAULTS['parallel']}."
    )
    group.add_argument(
        "--timeout", type=_seconds, metavar="S", help=f"seconds for one request. Default: {_URL_DEFAULTS['timeout']:g}."
    )
    group.add_argument(
        "--give-up-after",
        type=_seconds,
        metavar="S",
        help="seconds for which a file is retried while the service is overloaded, starting or unreachable. "
        f"Default: {_URL_DEFAULTS['give_up_after']:g}.",
    )
    group.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the API key. Default: the key in {CLIENT_KEY_VARIABLE}, if set",
    )
    group.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="certificate authorities (PEM) to trust instead of those of the operating system",
    )


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError("must be from 1 to 256")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 86400 seconds (a day)")
    return value
