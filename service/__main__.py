"""``python -m service``. The commands are imported late, so that Ctrl-C is clean from the first moment."""

import sys
from collections.abc import Sequence

from service.cli import DONE, FAILED, INTERRUPTED, WRONG_USE
from service.cli.interrupt import exit_on_interrupt

__all__ = ["DONE", "FAILED", "INTERRUPTED", "WRONG_USE", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""
    try:
        with exit_on_interrupt():
            if argv is None:  # this is the process of the command
                from contract.io.streams import end_on_termination, prepare_streams

                prepare_streams()
                end_on_termination()
            from service.cli.command_line import run
        return run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
