"""``python -m node``. The commands are imported late, so that SIGTERM ends a container that has only just started."""

import sys
from collections.abc import Sequence

from contract.io.streams import end_on_termination, prepare_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0 success, 1 failure, 2 wrong usage or configuration."""
    if argv is None:  # this is the process of the command
        prepare_streams()
        end_on_termination()
    from node.commands import run

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
