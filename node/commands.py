"""The commands: run (the default), check, dead and retry."""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from contract.streams import discard_output, is_of_output
from node.config import Config, ConfigError, read_config
from node.storage.ledger import Ledger

DONE, FAILED, WRONG_USE = 0, 1, 2  # exit codes


def run_command(argv: Sequence[str] | None) -> int:
    """Run a command; None: that of this process. Returns its exit code, as ``main`` does."""
    arguments = _parser().parse_args(argv)
    try:
        config = read_config(arguments.config)
        if arguments.command == "check":
            return DONE
        if arguments.command in {"dead", "retry"}:
            return _beside_the_node(config, arguments)
        return _run(config)
    except ConfigError as error:
        return _fail(str(error), WRONG_USE)
    except ModuleNotFoundError as error:
        return _fail(
            f"{(error.name or '').partition('.')[0]} is not installed; pip install 'xray-inference[cpu,dicom]'", FAILED
        )


def _run(config: Config) -> int:
    from node.running import run  # imported late: --help and check need none of the extra
    from node.storage.spool import SpoolInUse, SpoolUnusable

    try:
        run(config)
    except (SpoolInUse, SpoolUnusable) as error:
        return _fail(str(error), FAILED)
    return DONE


def _beside_the_node(config: Config, arguments: argparse.Namespace) -> int:
    """A command that may be used while the node runs."""
    try:
        dead = arguments.command == "dead"
        code = _dead(config) if dead else _retry(config, arguments.uids, everything=arguments.all)
        sys.stdout.flush()
    except sqlite3.Error as error:
        return _fail(f"{config.spool.folder}/ledger.sqlite cannot be used: {error}", FAILED)
    except OSError as error:
        if not is_of_output(error):
            raise
        discard_output()
        return FAILED if isinstance(error, BrokenPipeError) else _fail(f"the output: {error.strerror}", FAILED)
    return code


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
