"""``python -m service keys add | list | revoke``."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Column, Table

from service.access.keys import Key, KeyFileError, Scope, add_key, make_key, read_keys, revoke_key
from service.settings import Settings, SettingsError


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    keys = commands.add_parser(
        "keys",
        help="make, list and revoke API keys",
        description="Make, list and revoke the keys of XRAY_KEYS_FILE. A running service takes up what changes.",
    )
    actions = keys.add_subparsers(dest="action", required=True, metavar="{add,list,revoke}")
    add = actions.add_parser(
        "add", help="make a key", description="Make a key and print it, once: the file holds a hash of it only."
    )
    add.add_argument("name", metavar="NAME", help="whose it is, as log and audit will tell: A-Z a-z 0-9 . _ -")
    add.add_argument(
        "--scope",
        action="append",
        dest="scopes",
        choices=get_args(Scope),
        help="what it may; more than once for several. predict (default): have images read. metrics: GET /metrics. "
        "admin: load and unload models",
    )
    add.add_argument("--images-per-minute", type=int, metavar="N", help="how many it may send. Default: any number")
    add.add_argument("--days", type=int, metavar="N", help="how long it lasts. Default: until it is revoked")
    shown = actions.add_parser("list", help="list the keys", description="List the keys, without what they are.")
    shown.add_argument("--json", action="store_true", help="print them as JSON")
    revoke = actions.add_parser("revoke", help="revoke a key", description="Revoke a key, by its name.")
    revoke.add_argument("name", metavar="NAME", help="of the key")
    for action in (add, shown, revoke):
        # No default: a sub-parser's would undo what was said before it.
        action.add_argument("--keys-file", metavar="FILE", help="instead of XRAY_KEYS_FILE")


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Do what was asked for. What programs want goes to stdout, what people should know to stderr.

    Raises:
        SettingsError: no file is named.
        KeyFileError: it cannot be used, or not be changed like this.
    """
    path = settings.keys_file
    if path is None:
        raise SettingsError("which file of keys? Set XRAY_KEYS_FILE, or name it with --keys-file")
    {"add": _add, "list": _list, "revoke": _revoke}[arguments.action](path, arguments)


def _add(path: Path, arguments: argparse.Namespace) -> None:
    if arguments.days is not None and not 0 < arguments.days <= 36_500:
        raise KeyFileError("--days is from 1 to 36500")
    lasts = timedelta(days=arguments.days) if arguments.days else None
    text, key = make_key(arguments.name, arguments.scopes or ["predict"], arguments.images_per_minute, lasts)
    add_key(path, key)
    print(f"{key.name} may {', '.join(key.scopes)}. This is the key, shown this once:", file=sys.stderr)
    print(text)


def _list(path: Path, arguments: argparse.Namespace) -> None:
    keys = read_keys(path)
    if arguments.json:
        print(keys.model_dump_json(indent=2))
        return
    table = Table(Column("name", overflow="fold"), "scopes", "images a minute", "made", "expires")
    for key in keys.keys:
        table.add_row(*_row(key))
    Console().print(table)


def _row(key: Key) -> tuple[str, ...]:
    rate = "any" if key.images_per_minute is None else str(key.images_per_minute)
    expires = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}"
    if key.expires_at and key.expires_at <= datetime.now(UTC):
        expires += " (has)"
    return key.name, ", ".join(key.scopes), rate, f"{key.created_at:%Y-%m-%d}", expires


def _revoke(path: Path, arguments: argparse.Namespace) -> None:
    revoke_key(path, arguments.name)
    print(f"{arguments.name} is revoked: a running service refuses it within a second", file=sys.stderr)
