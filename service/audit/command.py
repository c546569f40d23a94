"""The command ``python -m service audit verify | tail``."""

import argparse
import re
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from service.audit.chain import chains_of
from service.audit.tail import Tail, format_line
from service.audit.verify import Verdict, verify_folder
from service.settings import Settings, SettingsError
from service.wire import printable, printable_json

_POLL_S = 0.5


class AuditCommandError(Exception):
    """The command cannot be run; the message is one line with the reason."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    audit = commands.add_parser(
        "audit",
        help="verify the audit log, or show its last lines",
        description="Verify or show the audit log in XRAY_AUDIT_FOLDER, also while the service writes to it.",
    )
    actions = audit.add_subparsers(dest="action", required=True, metavar="{verify,tail}")
    verify = actions.add_parser(
        "verify",
        help="check that nothing was altered",
        description="Check every chain, line by line. Exit code 1 if any line was altered, removed or inserted.",
    )
    verify.add_argument(
        "--expect",
        action="append",
        default=[],
        type=_hash,
        metavar="HASH",
        help="hash of a line that must be present, such as the head printed by an earlier verify; repeat for several",
    )
    verify.add_argument(
        "--after",
        action="append",
        default=[],
        type=_hash,
        metavar="HASH",
        help="hash of the last line that was moved to an archive: a chain may begin after it; repeat for several",
    )
    tail = actions.add_parser("tail", help="show the last lines", description="Show the last lines of all chains.")
    tail.add_argument("-n", type=_count, default=10, metavar="N", help="number of lines. Default: 10")
    tail.add_argument("-f", "--follow", action="store_true", help="keep printing new lines until Ctrl-C")
    for action in (verify, tail):
        # Named like the setting that it overrides.
        action.add_argument(
            "audit_folder", nargs="?", metavar="FOLDER", help="folder to use instead of XRAY_AUDIT_FOLDER"
        )
        action.add_argument("--json", action="store_true", help="print JSON lines")


def run(arguments: argparse.Namespace, settings: Settings) -> bool:
    """Run the command. Returns False if ``verify`` found a fault.

    Raises:
        SettingsError: no folder is given.
        AuditCommandError: the folder cannot be read, or holds no audit log.
    """
    folder = settings.audit_folder
    if folder is None:
        raise SettingsError("no audit folder is given: set XRAY_AUDIT_FOLDER, or name a folder")
    try:
        if not chains_of(folder):
            raise AuditCommandError(f"{folder}: there is no audit log here")
        return _verify(folder, arguments) if arguments.action == "verify" else _tail(folder, arguments)
    except BrokenPipeError:  # of stdout, not of the audit log
        raise
    except OSError as error:
        raise AuditCommandError(f"{error.filename or folder}: {error.strerror}") from None


def _verify(folder: Path, arguments: argparse.Namespace) -> bool:
    verdicts, faults = verify_folder(folder, set(arguments.after), set(arguments.expect))
    for verdict in verdicts:
        if arguments.json:
            print(printable_json(verdict.model_dump_json()))
        else:
            Console().print(_table(verdict))
    for fault in faults:
        print(f"xray-service: {printable(fault)}", file=sys.stderr)
    return not faults


def _table(verdict: Verdict) -> Table:
    fault = verdict.fault
    state = f"ALTERED at line {fault.line} of {fault.file}" if fault else "intact"
    table = Table(Column(_text(f"chain {Path(verdict.chain).name}")), Column(_text(state)))
    lines = f"{verdict.first} to {verdict.last}" if verdict.lines else "none"
    table.add_row("lines", f"{lines}, in {verdict.files} file{'s' * (verdict.files != 1)}")
    table.add_row("from", _text(verdict.begins or ""))
    table.add_row("to", _text(verdict.ends or ""))
    table.add_row("head", verdict.head)
    for remark in _remarks(verdict):
        table.add_row("", remark)
    return table


def _text(text: str) -> Text:
    """A forged line may hold markup, or what a terminal would interpret."""
    return Text(printable(text))


def _remarks(verdict: Verdict) -> list[str]:
    counts = {
        "unclean shutdowns": verdict.unclean,
        "torn writes, recorded in the chain": verdict.torn,
        "lines lost at most, recorded in the chain": verdict.lost,
        "bytes of an incomplete line at the end": verdict.unfinished_bytes,
    }
    return [f"{count} {meaning}" for meaning, count in counts.items() if count]


def _tail(folder: Path, arguments: argparse.Namespace) -> bool:
    tail = Tail(folder, arguments.n)
    lines = tail.last_lines()
    try:
        while True:
            for line in lines:
                print(_as_json(line) if arguments.json else format_line(line), flush=True)
            if not arguments.follow:
                return True
            time.sleep(_POLL_S)
            lines = tail.new_lines()
    except KeyboardInterrupt:
        return True


def _as_json(line: bytes) -> str:
    return printable_json(line.decode(errors="replace").rstrip("\n"))


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("must be 64 hexadecimal digits: 0 to 9, a to f")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)
