"""The commands: run (the default), check, dead and retry."""

import argparse
import sqlite3
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from contract.io.streams import run_command
from node.config import Config, ConfigError, read_config
from node.storage.ledger import Ledger

DONE, FAILED, WRONG_USE = 0, 1, 2  # exit codes


def run(argv: Sequence[str] | None) -> int:
    """Run a command; None: that of this process. Returns its exit code, as ``main`` does."""
    arguments = argparse.Namespace()
    if code := _with_output(lambda: _parse(argv, arguments)):
        return code
    try:
        config = read_config(arguments.config)
        if arguments.command == "check":
            return DONE
        if arguments.command in {"dead", "retry"}:
            return _with_output(lambda: _beside_the_node(config, arguments))
        return _run(config)  # what fails there is no output
    except ConfigError as error:
        return _fail(str(error), WRONG_USE)
    except ModuleNotFoundError as error:
        return _fail(
            f"{(error.name or '').partition('.')[0]} is not installed; pip install 'xray-inference[cpu,dicom]'", FAILED
        )


def _with_output(command: Callable[[], int]) -> int:
    return run_command(command, lambda message: _fail(message, FAILED))


def _parse(argv: Sequence[str] | None, into: argparse.Namespace) -> int:
    """Read the command line, or print the help and exit."""
    _parser().parse_args(argv, into)
    return DONE


def _run(config: Config) -> int:
    from node import running  # imported late: --help and check need none of the extra
    from node.storage.spool import SpoolInUse, SpoolUnusable

    try:
        running.run(config)
    except (SpoolInUse, SpoolUnusable) as error:
        return _fail(str(error), FAILED)
    return DONE


def _beside_the_node(config: Config, arguments: argparse.Namespace) -> int:
    """A command that may be used while the node runs."""
    try:
        if arguments.command == "dead":
            return _dead(config)
        return _retry(config, arguments.uids, everything=arguments.all)
    except sqlite3.Error as error:
        return _fail(f"{config.spool.folder}/ledger.sqlite cannot be used: {error}", FAILED)


def _dead(config: Config) -> int:
    for letter in _ledger(config).dead_letters():
        since = datetime.fromtimestamp(letter.since, UTC).isoformat(timespec="seconds")
        what = f"{letter.kind} to {letter.destination}" if letter.destination else "object"
        sys.stdout.write(f"{since}\t{letter.uid}\t{what}\t{letter.reason}\n")
    return DONE


def _retry(config: Config, uids: Sequence[str], *, everything: bool) -> int:
    if bool(uids) == everything:
        return _fail("retry: give SOP Instance UIDs, or --all", WRONG_USE)
    count = _ledger(config).retry(["*"] if everything else uids)
    sys.stdout.write(f"{count} dead letters wait again\n")
    return DONE if count or everything else FAILED


def _ledger(config: Config) -> Ledger:
    path = config.spool.folder / "ledger.sqlite"
    if not path.is_file():
        raise ConfigError(f"{config.spool.folder} is not the spool of a node: it has no ledger.sqlite")
    return Ledger(path)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"xray-node: {message}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xray-node",
        description="A DICOM node: receives radiographs by C-STORE, has the service analyse them, and sends the "
        "results to the PACS. Not a medical device.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML")
    commands = parser.add_subparsers(dest="command", metavar="{run,check,dead,retry}")
    commands.add_parser("run", help="run the node (the default)")
    commands.add_parser("check", help="check the configuration file")
    commands.add_parser("dead", help="list dead letters: since when, SOP Instance UID, what, reason")
    retry = commands.add_parser("retry", help="try dead letters again")
    retry.add_argument("uids", nargs="*", metavar="UID", help="SOP Instance UIDs of the objects received")
    retry.add_argument("--all", action="store_true", help="all dead letters")
    return parser
