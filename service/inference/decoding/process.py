"""Decoder processes: for files whose decoding is too expensive for a thread, because a thread cannot be stopped."""

import asyncio
import contextlib
import json
import logging
import subprocess
import threading
from typing import IO, cast

from contract.errors import CUT_SHORT, TruncatedImage
from service.errors import Overloaded
from service.inference.decoding.messages import HEAD, Message, pack, raise_refusal
from service.inference.loading.child import command, environment
from service.inference.threads.pool import StartedThreads

log = logging.getLogger(__name__)

Process = subprocess.Popen[bytes]

_END_S = 5


class DecoderProcesses:
    """A pool of processes, each started when it is first needed, and killed if its caller gives up.

    Args:
        count: maximum number of processes, 1 or more.
    """

    def __init__(self, count: int) -> None:
        # These threads only wait for the processes.
        self._threads = StartedThreads(count, "decoder-process")
        self._idle: list[Process] = []
        self._jobs: set[_Job] = set()

    async def ask(self, request: Message) -> Message:
        """Send a request to a process that is idle, and wait for its reply.

        Raises:
            ImageRefused: the file cannot be used; also if it makes the process crash.
            Overloaded: the machine allows no further process.
        """
        job = _Job(self._idle)
        self._jobs.add(job)
        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._threads, job.run, request)
        except asyncio.CancelledError:  # the deadline has passed, or the service ends
            job.cancel()
            raise
        finally:
            self._jobs.discard(job)
        raise_refusal(reply)
        return reply

    def close(self) -> None:
        """End the processes and their threads."""
        for job in list(self._jobs):
            job.cancel()
        self._threads.shutdown(cancel_futures=True)
        while self._idle:
            _end(self._idle.pop())


class _Job:
    """One request, and the process that handles it."""

    def __init__(self, idle: list[Process]) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._cancelled = False

    def run(self, request: Message) -> Message:
        """Exchange the request for a reply; called in a thread."""
        try:
            process = self._take()
        except OSError as error:  # of fork(2) or pipe(2)
            log.error("no decoder process can be started", extra={"reason": error.strerror})
            raise Overloaded("decoding the image needs a process, and the machine allows no more now") from None
        try:
            reply = _exchange(process, request)
        except (OSError, EOFError):
            exit_code = _end(process)
            if not self._cancelled:
                log.error("a decoder process ended while it decoded an image", extra={"exit_code": exit_code})
            raise TruncatedImage(CUT_SHORT) from None
        self._put_back(process)
        return reply

    def cancel(self) -> None:
        """Kill the process, if there is one; from another thread."""
        with self._lock:
            self._cancelled = True
            if self._process:
                self._process.kill()

    def _take(self) -> Process:
        process = self._idle.pop() if self._idle else _start()
        with self._lock:
            self._process = process
            if self._cancelled:
                process.kill()
        return process

    def _put_back(self, process: Process) -> None:
        with self._lock:
            self._process = None
            killed = self._cancelled
        if killed:
            _end(process)
        else:
            self._idle.append(process)


def _start() -> Process:
    return subprocess.Popen(
        command("service.inference.decoding.worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )


def _exchange(process: Process, request: Message) -> Message:
    requests, replies = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    for piece in pack(request):
        requests.write(piece)
    requests.flush()
    fields, content = HEAD.unpack(_read(replies, HEAD.size))
    return Message(json.loads(_read(replies, fields)), _read(replies, content))


def _read(replies: IO[bytes], count: int) -> bytes:
    found = replies.read(count)
    if len(found) < count:
        raise EOFError
    return found


def _end(process: Process) -> int:
    """Kill a process that may have ended already; its exit code."""
    process.kill()
    code = process.wait(_END_S)
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(OSError):  # what it has not read
                stream.close()
    return code
