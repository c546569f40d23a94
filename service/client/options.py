"""The options of ``predict``, and which of them go together."""

import argparse
import os
from pathlib import Path
from typing import get_args

from service.client.results import Format
from service.settings import CLIENT_KEY_VARIABLE, Settings, SettingsError

_DESCRIPTION = """\
Read image files, and all in and below folders, by the model on this machine, or with --url by a service. Answers come
in the order of the files. Exit code 0: each file has its answer; 1: some have not; 2: wrong use; 130: Ctrl-C. What an
answer says, PNEUMONIA or NORMAL, is in no exit code.
"""
# Settings that mean something to who asks a service.
_ASKERS = {"operating_point", "max_body_bytes"}
_AT_URL = {"parallel": 4, "timeout": 60.0, "give_up_after": 120.0, "key_file": None, "ca_file": None}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all but the settings."""
    parser.description = _DESCRIPTION
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE|FOLDER", help="a JPEG or PNG, or a folder of them")
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=get_args(Format), help="default: table, or what the name of --output says")
    output.add_argument("--json", action="store_true", help="the same as --format json: as the server would send it")
    output.add_argument(
        "--output", type=Path, metavar="FILE", help="write it there once all is read, or else not; until then FILE.part"
    )
    output.add_argument(
        "--resume", action="store_true", help="keep what --output holds of an earlier run, and ask for the rest only"
    )
    _add_url_options(parser.add_argument_group("asking a service"))


def wrong_use(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together: one that changes nothing must not pass for one that does.

    Raises:
        SettingsError: which, and why.
    """
    if arguments.json and arguments.format not in {None, "json"}:
        raise SettingsError(f"--json and --format {arguments.format} are two formats")
    if arguments.resume and not arguments.output:
        raise SettingsError("--resume goes with --output")
    if arguments.url is None:
        given, why = [name for name in _AT_URL if getattr(arguments, name) is not None], "only goes with --url"
    else:
        others = set(Settings.model_fields) - _ASKERS
        given = [name for name in sorted(others) if getattr(arguments, name) is not None]
        why = "is for reading without a service, and does not go with --url"
    if given:
        raise SettingsError(f"--{given[0].replace('_', '-')} {why}")


def at_url(arguments: argparse.Namespace, name: str) -> float:
    """The value of a number among the options for ``--url``, or its default."""
    value = getattr(arguments, name)
    return float(_AT_URL[name] or 0) if value is None else float(value)


def read_key(path: Path | None) -> str | None:
    """The key to be sent: a file's, else the environment's, else none.

    Raises:
        SettingsError: it cannot be read, or cannot be a key.
    """
    if path is None:
        source, text = CLIENT_KEY_VARIABLE, os.environ.get(CLIENT_KEY_VARIABLE)
    else:
        source, text = f"--key-file: {path}", _text_of(path)
    if text is None:
        return None
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{source} holds no key: one line, without spaces")
    return key


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--key-file: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"--key-file: {path} holds no key: one line, without spaces") from None


def _add_url_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--url", help="its address, like http://host:8000; file names are not sent")
    group.add_argument("--parallel", type=_count, metavar="N", help=f"uploads at once. Default: {_AT_URL['parallel']}.")
    group.add_argument(
        "--timeout", type=_seconds, metavar="S", help=f"longest one request may take. Default: {_AT_URL['timeout']:g}."
    )
    group.add_argument(
        "--give-up-after",
        type=_seconds,
        metavar="S",
        help="how long a file is sent again while the service is full, starting or cannot be reached. "
        f"Default: {_AT_URL['give_up_after']:g}.",
    )
    group.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"holds the key to be let in with; else {CLIENT_KEY_VARIABLE} does",
    )
    group.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="certificates (PEM) to trust, in place of this system's"
    )


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError("1 to 256")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError("seconds, more than 0 and up to a day")
    return value
