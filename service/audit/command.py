"""``python -m service audit verify | tail``."""

import argparse
import re
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from service.audit.chain import chains_of
from service.audit.tail import Tail, in_words
from service.audit.verify import Verdict, verify_chain
from service.settings import Settings, SettingsError

_POLL_S = 0.5


class AuditCommandError(Exception):
    """What was asked for cannot be done; the message is one line."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    audit = commands.add_parser(
        "audit",
        help="verify the audit, or show its end",
        description="Look at the files of XRAY_AUDIT_FOLDER; also while the service writes them.",
    )
    actions = audit.add_subparsers(dest="action", required=True, metavar="{verify,tail}")
    verify = actions.add_parser(
        "verify",
        help="check that nothing was changed",
        description="Check every chain, line by line. Exit code 1 if anything was changed, taken out or put in.",
    )
    verify.add_argument(
        "--expect",
        action="append",
        default=[],
        type=_hash,
        metavar="HASH",
        help="of a line that has to be there: the head that an earlier verify printed. More than once for several",
    )
    verify.add_argument(
        "--after",
        action="append",
        default=[],
        type=_hash,
        metavar="HASH",
        help="of the last line that was moved away: a chain may begin after it. More than once for several",
    )
    tail = actions.add_parser("tail", help="show the last lines", description="Show the last lines of all chains.")
    tail.add_argument("-n", type=_count, default=10, metavar="N", help="how many. Default: 10")
    tail.add_argument("-f", "--follow", action="store_true", help="and those that come, until Ctrl-C")
    for action in (verify, tail):
        # By the name of the setting that it takes the place of.
        action.add_argument("audit_folder", nargs="?", metavar="FOLDER", help="instead of XRAY_AUDIT_FOLDER")
        action.add_argument("--json", action="store_true", help="print JSON lines")


def run(arguments: argparse.Namespace, settings: Settings) -> bool:
    """Do what was asked for. Returns whether all is well.

    Raises:
        SettingsError: no folder is named.
        AuditCommandError: it cannot be read, or there is no audit in it.
    """
    folder = settings.audit_folder
    if folder is None:
        raise SettingsError("which audit? Set XRAY_AUDIT_FOLDER, or name a folder")
    try:
        if not chains_of(folder):
            raise AuditCommandError(f"{folder}: there is no audit here")
        return _verify(folder, arguments) if arguments.action == "verify" else _tail(folder, arguments)
    except OSError as error:
        raise AuditCommandError(f"{error.filename or folder}: {error.strerror}") from None


def _verify(folder: Path, arguments: argparse.Namespace) -> bool:
    expected = set(arguments.expect)
    verdicts, seen = [], set()
    for chain in chains_of(folder):
        verdict, found = verify_chain(chain, set(arguments.after), expected)
        verdicts.append(verdict)
        seen |= found
    if arguments.json:
        for verdict in verdicts:
            print(verdict.model_dump_json())
    else:
        for verdict in verdicts:
            Console().print(_table(verdict))
    complaints = [
        f"{each.chain}/{each.fault.file}:{each.fault.line}: {each.fault.reason}" for each in verdicts if each.fault
    ]
    complaints += [
        f"{digest} is in no chain: lines were cut off, or all was written anew" for digest in expected - seen
    ]
    for complaint in complaints:
        print(f"xray-service: {complaint}", file=sys.stderr)
    return not complaints


def _table(verdict: Verdict) -> Table:
    state = "NOT AS IT WAS WRITTEN" if verdict.fault else "as it was written"
    table = Table(f"chain {Path(verdict.chain).name}", state)
    lines = f"{verdict.first} to {verdict.last}" if verdict.lines else "none"
    table.add_row("lines", f"{lines}, in {verdict.files} file{'s' * (verdict.files != 1)}")
    table.add_row("from", verdict.begins or "")
    table.add_row("to", verdict.ends or "")
    table.add_row("head", verdict.head)
    for remark in _remarks(verdict):
        table.add_row("", remark)
    return table


def _remarks(verdict: Verdict) -> list[str]:
    counted = {
        "ends without an orderly stop": verdict.unclean,
        "torn writes, told of": verdict.torn,
        "lines lost at most, told of": verdict.lost,
        "bytes of an unfinished line at the end": verdict.unfinished_bytes,
    }
    return [f"{count} {words}" for words, count in counted.items() if count]


def _tail(folder: Path, arguments: argparse.Namespace) -> bool:
    tail = Tail(folder, arguments.n)
    lines = tail.begin()
    try:
        while True:
            for line in lines:
                print(line.decode(errors="replace").rstrip("\n") if arguments.json else in_words(line), flush=True)
            if not arguments.follow:
                return True
            time.sleep(_POLL_S)
            lines = tail.more()
    except KeyboardInterrupt:
        return True


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError("a hash has 64 digits, 0 to 9 and a to f")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a whole number")
    return int(text)
