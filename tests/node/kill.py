"""Runs a node that kills itself, as ``kill -9`` would, at a given step: before or after the n-th call of a method.

python tests/node/kill.py MODULE CLASS METHOD before|after N --config node.toml
"""

import importlib
import os
import signal
import sys
from typing import Any

from tests import ROOT

Step = tuple[str, str, str, str, int]
# Module, class, method, before or after, and which call of it. In the order of an object's way.
STEPS: list[Step] = [
    ("node.receiving.incoming", "IncomingFile", "write", "before", 4),
    ("node.receiving.scp", "Scp", "_keep", "before", 1),
    ("node.storage.spool", "Spool", "keep_object", "before", 1),
    ("node.storage.spool", "Spool", "keep_object", "after", 1),  # kept, but not in the ledger
    ("node.storage.ledger", "Ledger", "add", "after", 1),  # in the ledger, but not acknowledged
    ("node.receiving.scp", "Scp", "_store", "after", 1),
    ("node.analysis", "Analyser", "_claim", "after", 2),
    ("node.storage.spool", "Spool", "keep_result", "before", 1),
    ("node.storage.spool", "Spool", "keep_result", "after", 1),  # one of two results
    ("node.storage.spool", "Spool", "keep_result", "after", 2),
    ("node.storage.ledger", "Ledger", "answer", "after", 1),
    ("node.storage.spool", "Spool", "drop_object", "after", 1),
    ("node.delivery.cstore", "CStoreSender", "__enter__", "after", 1),
    ("node.delivery.cstore", "CStoreSender", "send", "after", 1),  # stored, but not noted
    ("node.storage.ledger", "Ledger", "close_delivery", "after", 1),
    ("node.storage.ledger", "Ledger", "close_delivery", "after", 2),
    ("node.storage.spool", "Spool", "drop_result", "after", 1),
    ("node.storage.spool", "Spool", "drop_result", "after", 2),
]
SOME = [STEPS[index] for index in (3, 4, 8, 10, 13)]


def command(step: Step) -> list[str]:
    """The arguments of the interpreter for a node that is killed at this step."""
    return [str(ROOT / "tests" / "node" / "kill.py"), *map(str, step)]


def main() -> int:
    """Wrap the method, then run the node."""
    module, owner, method, when, number = sys.argv[1:6]
    cls = getattr(importlib.import_module(module), owner)
    original, calls = getattr(cls, method), 0

    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        last = calls == int(number)
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        value = original(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    setattr(cls, method, wrapped)
    from node.__main__ import main as node

    return node(sys.argv[6:])


if __name__ == "__main__":
    sys.exit(main())
