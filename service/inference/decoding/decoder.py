"""Decodes uploads: most in a thread, expensive ones within a memory budget, very expensive ones in a process.

data -> a thread, if it is cheap, or moderate and there is memory
-> TooExpensive: wait for memory -> a thread, or a process that is killed at the deadline
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import numpy as np
from PIL import Image

from contract.cost import Cost, TooExpensive
from contract.errors import TooManyPixels
from contract.image import SIDE, Decoded, Note
from contract.margins import Frame
from service.inference.decoding.memory import MemoryBudget
from service.inference.decoding.messages import Message
from service.inference.decoding.process import DecoderProcesses
from service.inference.decoding.rules import Rules
from service.inference.dicom import decode, picture
from service.inference.threads.calls import RunningCalls
from service.inference.threads.pool import run_in

T = TypeVar("T")

# The cost up to which no reservation is needed: as many images at once as there are threads.
CHEAP = Cost(memory=8 * 2**20, seconds=0.5)
# The most that a call in a thread may cost, because a thread cannot be stopped.
MOST_IN_A_THREAD = Cost(memory=64 * 2**20, seconds=1.0)


class Decoder:
    """Decodes the uploads of a service.

    Args:
        threads: decode what is not expensive.
        memory: bytes that all decoding may take at a time, except cheap images.
        processes: maximum number of decoder processes.
        calls: counts the decoding in threads while it runs.
    """

    def __init__(self, threads: Executor, memory: int, processes: int, calls: RunningCalls | None = None) -> None:
        self._threads, self._calls = threads, calls or RunningCalls()
        self.memory = MemoryBudget(memory)
        self._processes = DecoderProcesses(processes)

    def close(self) -> None:
        """Stop the decoder processes."""
        self._processes.close()

    async def decode(
        self, data: bytes, rules: Rules, finish: Callable[[Decoded], T], then: Callable[[T], T] | None = None
    ) -> T:
        """The network's input of a file.

        Args:
            data: the whole file.
            rules: how it becomes pixels.
            finish: called with the decoded image, in the decoding thread if there is one; its result is returned.
            then: called with that result if the image was decoded in a thread, in that thread; its result is returned
                instead.

        Raises:
            ImageRefused: it cannot be used, or decoding it takes more memory than there is for all images.
        """

        def call(limit: Cost | None = None) -> T:
            found = finish(decode(data, rules, limit))
            return found if then is None else then(found)

        request = Message(rules.to_fields(), data)
        found = await self._run(self._threads, call, request)
        return finish(_decoded(found)) if isinstance(found, Message) else found

    async def picture(self, threads: Executor, data: bytes, longest: int, max_pixels: int) -> Image.Image:
        """The picture of a file for people, of mode "L", no side longer than ``longest`` pixels.

        Args:
            threads: decode it if it is not expensive.
            data: the whole file.
            longest: most pixels a side.
            max_pixels: most pixels of the file.

        Raises:
            ImageRefused: as ``decode``.
        """
        call = partial(picture, data, longest, max_pixels=max_pixels)
        request = Message({"max_pixels": max_pixels, "longest": longest}, data)
        found = await self._run(threads, call, request)
        return found if isinstance(found, Image.Image) else Image.frombytes("L", found.fields["size"], found.content)

    async def _run(self, threads: Executor, call: Callable[..., T], request: Message) -> T | Message:
        loop = asyncio.get_running_loop()
        try:
            return await run_in(threads, partial(self._calls.run, partial(self._try, call, loop)))
        except TooExpensive as error:
            cost = error.cost
        if cost.memory > self.memory.total:
            raise too_expensive(cost, self.memory.total)
        if not cost.fits(MOST_IN_A_THREAD):
            async with self.memory.reserve(cost.memory):
                return await self._processes.ask(request)
        await self.memory.take(cost.memory)
        task = threads.submit(self._calls.run, call)
        # The memory stays reserved until the thread is done, even if the caller has given up.
        task.add_done_callback(lambda _: loop.call_soon_threadsafe(self.memory.give_back, cost.memory))
        try:
            return await asyncio.wrap_future(task)
        finally:
            del task  # the traceback of its exception has this frame: it would be a reference cycle

    def _try(self, call: Callable[..., T], loop: asyncio.AbstractEventLoop) -> T:
        """Make a call in this thread. Unless it is cheap, only if a thread may take it and the memory is available now,
        since it has waited for the thread already.

        Raises:
            TooExpensive: it costs too much, or has to wait for memory.
        """
        try:
            return call(limit=CHEAP)
        except TooExpensive as error:
            cost = error.cost
        if not (cost.fits(MOST_IN_A_THREAD) and self.memory.take_now(cost.memory)):
            raise TooExpensive(cost)
        try:
            return call()
        finally:
            with suppress(RuntimeError):  # the event loop is closed: nobody waits
                loop.call_soon_threadsafe(self.memory.give_back, cost.memory)


def too_expensive(cost: Cost, memory: int) -> TooManyPixels:
    """The refusal of an image whose decoding takes more than this many bytes of memory."""
    return TooManyPixels(
        f"decoding the image takes about {cost.memory >> 20} MiB of memory; at most {memory >> 20} MiB "
        "(XRAY_MAX_DECODED_BYTES) are allowed"
    )


def _decoded(reply: Message) -> Decoded:
    pixels = np.frombuffer(reply.content, np.uint8).reshape(SIDE, SIDE, 1)
    fields = reply.fields
    notes = tuple(Note(*note) for note in fields["notes"])
    return Decoded(pixels, fields["turned"], Frame(*fields["frame"]), fields["unclear_depth"], notes, fields["age"])
