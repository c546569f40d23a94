"""Streams and signals of a program that is started in any way: by cron, by systemd, with ``2>&-``, in a container."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import TextIO

# What ends an output: nobody reads it any more, its disk is full, it is closed, its device is gone.
_OUTPUT_FAILS = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO}


def prepare_streams() -> None:
    """Make standard input, output and error usable; for the start of a process, before it opens anything.

    One that is closed gets the null device in its place: else the next file or connection that is opened would, and
    get what is meant for the stream. What is written to a closed output fails. Output to a file or pipe is UTF-8
    whatever the locale is, and no character ends the program.
    """
    for descriptor, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        _open_if_closed(descriptor, mode)
    sys.stdout = sys.stdout or _stream(1)
    sys.stderr = sys.stderr or _stream(2)
    for stream in (sys.stdout, sys.stderr):
        # A terminal shows the characters of its own encoding.
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")  # type: ignore[union-attr]


def end_on_termination() -> None:
    """Have SIGTERM end the process, until the program handles it in its own way.

    That is so anyway, but for the first process of a container: a signal that it does not handle has no effect, and a
    container that is stopped while it starts would take all of its grace period. The exit code is 143, as in a shell.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def run_command(command: Callable[[], int], say: Callable[[str], object]) -> int:
    """Run a command of a command line, and flush what it has printed. Where standard output fails, the command ends
    without a trace: silently if its reader has what it wants (``| head``), else with one line.

    Args:
        command: returns the exit code.
        say: prints one line to the user.

    Returns:
        The exit code: 1 if standard output failed.
    """
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()  # what fails here would otherwise fail at the end of the process, with a trace
    except OSError as error:
        if error.filename is not None or error.errno not in _OUTPUT_FAILS:
            raise  # an error of a file names the file
        discard_output()
        if not isinstance(error, BrokenPipeError):
            say(f"cannot write the output: {error.strerror}")
        return 1


def discard_output() -> None:
    """Lead standard output to the null device, so that what is still buffered does not fail at the end."""
    with contextlib.suppress(OSError):  # replaced by an object without a descriptor
        descriptor = sys.stdout.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)


def _open_if_closed(descriptor: int, mode: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, mode)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)


def _stream(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", closefd=False)
