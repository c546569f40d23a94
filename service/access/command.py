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
        help="create, list and revoke API keys",
        description="Create, list and revoke the API keys in XRAY_KEYS_FILE. A running service picks up changes.",
    )
    actions = keys.add_subparsers(dest="action", required=True, metavar="{add,list,revoke}")
    add = actions.add_parser(
        "add",
        help="create a key",
        description="Create a key and print it. It is shown only once: the file stores only its hash.",
    )
    add.add_argument(
        "name", metavar="NAME", help="identifies the client in the log and the audit log: A-Z a-z 0-9 . _ -"
    )
    add.add_argument(
        "--scope",
        action="append",
        dest="scopes",
        choices=get_args(Scope),
        help="what the key allows; repeat for several. predict (default): analyse images. metrics: GET /metrics. "
        "admin: replace, load and unload models. feedback: report what became known of an image later",
    )
    add.add_argument("--images-per-minute", type=int, metavar="N", help="quota of the key. Default: none")
    add.add_argument("--days", type=int, metavar="N", help="days until the key expires. Default: it does not expire")
    show = actions.add_parser("list", help="list the keys", description="List the keys: names, scopes, quotas, dates.")
    show.add_argument("--json", action="store_true", help="print JSON")
    revoke = actions.add_parser("revoke", help="revoke a key", description="Revoke a key by its name.")
    revoke.add_argument("name", metavar="NAME", help="name of the key")
    for action in (add, show, revoke):
        # No default: a default of the sub-parser would override an option given before it.
        action.add_argument("--keys-file", metavar="FILE", help="key file to use instead of XRAY_KEYS_FILE")


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Run the command. Results go to stdout, messages to stderr.

    Raises:
        SettingsError: no key file is given.
        KeyFileError: the key file cannot be used, or the change is not possible.
    """
    path = settings.keys_file
    if path is None:
        raise SettingsError("no key file is given: set XRAY_KEYS_FILE, or use --keys-file FILE")
    {"add": _add, "list": _list, "revoke": _revoke}[arguments.action](path, arguments)


def _add(path: Path, arguments: argparse.Namespace) -> None:
    if arguments.days is not None and not 0 < arguments.days <= 36_500:
        raise KeyFileError("--days must be from 1 to 36500")
    lifetime = timedelta(days=arguments.days) if arguments.days else None
    text, key = make_key(arguments.name, arguments.scopes or ["predict"], arguments.images_per_minute, lifetime)
    add_key(path, key)
    scopes = f"scope{'s' * (len(key.scopes) > 1)}: {', '.join(key.scopes)}"
    print(f"Created key '{key.name}' ({scopes}). It is shown only once:", file=sys.stderr)
    print(text)


def _list(path: Path, arguments: argparse.Namespace) -> None:
    keys = read_keys(path)
    if arguments.json:
        print(keys.model_dump_json(indent=2))
        return
    table = Table(Column("name", overflow="fold"), "scopes", "images per minute", "created", "expires")
    for key in keys.keys:
        table.add_row(*_row(key))
    Console().print(table)


def _row(key: Key) -> tuple[str, ...]:
    quota = "no quota" if key.images_per_minute is None else str(key.images_per_minute)
    expires = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}"
    if key.expires_at and key.expires_at <= datetime.now(UTC):
        expires += " (expired)"
    return key.name, ", ".join(key.scopes), quota, f"{key.created_at:%Y-%m-%d}", expires


def _revoke(path: Path, arguments: argparse.Namespace) -> None:
    revoke_key(path, arguments.name)
    print(f"Revoked key '{arguments.name}'. A running service rejects it within a second.", file=sys.stderr)
