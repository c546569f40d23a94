"""Trying a graph out before it is served: one full batch of blank images, within limits of memory and time.

``contract.graph`` ensures that no size depends on the content of an image, so all batches have the same cost.
At the start of the service this happens in its own process, which has nothing else to do yet. A service that is running
tries a graph out in another process, so that nothing else is affected, even if onnxruntime crashes.
"""

import asyncio
import json
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime

from contract.bundle import INPUT, BundleError
from contract.image import SIDE
from service.inference.loading.child import command, environment
from service.inference.session import cpu_session

# The bundled models take 100 MiB with 4 images, and 2 to 8 MiB for each further one.
_GRAPH_BYTES, _IMAGE_BYTES = 768 * 2**20, 64 * 2**20
# Seconds; the bundled models take less than one. Another process, at its low priority, takes more on a busy machine.
TRIAL_S, _START_S = 60, 60
_LENGTH = struct.Struct(">I")


def memory_limit(batch: int) -> int:
    """Bytes that loading a graph and one batch may take."""
    return _GRAPH_BYTES + batch * _IMAGE_BYTES


@contextmanager
def bounded_memory(batch: int) -> Iterator[None]:
    """Within this context the memory of this process may grow by ``memory_limit``; more cannot be allocated.

    On Linux only, where RLIMIT_DATA counts what is allocated (setrlimit(2)); without effect elsewhere.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    used = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:"))
    before = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = int(used.split()[1]) * 1024 + memory_limit(batch)
    if soft == resource.RLIM_INFINITY or limit < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def try_out(session: onnxruntime.InferenceSession, name: str, batch: int) -> None:
    """Run one batch of blank images, and return its memory to the system: where most calls have one image, so much is
    never needed again.

    Args:
        session: on the CPU.
        name: of the graph, for errors.
        batch: images in it.

    Raises:
        BundleError: it takes too long, or more memory than there is.
    """
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    timer = threading.Timer(TRIAL_S, setattr, (options, "terminate", True))  # between two operators
    timer.daemon = True
    timer.start()
    try:
        session.run(None, {INPUT: np.zeros((batch, SIDE, SIDE, 1), np.uint8)}, options)
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise BundleError(f"{name}: {_reason(error, options.terminate, batch)}") from error
    finally:
        timer.cancel()


def _reason(error: Exception, too_long: bool, batch: int) -> str:
    if too_long:
        return f"a batch of {batch} images takes longer than {TRIAL_S} s"
    if isinstance(error, MemoryError) or "allocat" in str(error):
        return f"the graph and a batch of {batch} images take more than {memory_limit(batch) >> 20} MiB of memory"
    return "the graph fails on blank images"


async def try_in_another_process(graph: bytes, name: str, batch: int, threads: int) -> None:
    """Load a graph and run one batch of blank images, in a process of its own.

    Args:
        graph: the ONNX file.
        name: of the graph, for errors.
        batch: images in the batch.
        threads: of onnxruntime.

    Raises:
        BundleError: it cannot be loaded, crashes, takes too long, or more memory than it may.
    """
    fields = json.dumps({"name": name, "batch": batch, "threads": threads}).encode()
    try:
        process = await asyncio.create_subprocess_exec(
            *command("service.inference.loading.trial"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(),
        )
    except OSError as error:  # of fork(2) or pipe(2)
        raise BundleError(f"{name}: the process that tries it out cannot be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(_START_S + TRIAL_S):
            reason, _ = await process.communicate(_LENGTH.pack(len(fields)) + fields + graph)
    except TimeoutError:
        raise BundleError(f"{name}: a batch of {batch} images takes longer than {TRIAL_S} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BundleError(reason.decode(errors="replace") or f"{name}: onnxruntime crashes with this graph")


def main() -> int:
    """The main function of the process: read a trial from stdin; write the reason for a failure to stdout."""
    received = sys.stdin.buffer.read()
    length = _LENGTH.unpack_from(received)[0]
    fields = json.loads(received[_LENGTH.size : _LENGTH.size + length])
    graph, name, batch = received[_LENGTH.size + length :], fields["name"], fields["batch"]
    try:
        with bounded_memory(batch):
            try_out(cpu_session(graph, name, fields["threads"]), name, batch)
    except BundleError as error:
        sys.stdout.write(str(error))
        return 1
    return 0
