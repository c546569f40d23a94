"""What is cheap is decoded in a thread, what is not in a process that is killed with its caller: the same pixels."""

import asyncio
import errno
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from contract.cost import Cost
from contract.errors import TooManyPixels, TruncatedImage
from contract.image import MAX_PIXELS, Decoded, decode, picture
from service.errors import Overloaded
from service.inference.decoding import decoder as module
from service.inference.decoding.decoder import Decoder
from service.inference.decoding.rules import Rules
from tests.cases import jpeg, png
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio
RULES = Rules(MAX_PIXELS, 2)
NOTHING = Cost(0, 0)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
async def decoder(threads: ThreadPoolExecutor) -> AsyncIterator[Decoder]:
    made = Decoder(threads, 200 * 2**20, 1)
    yield made
    made.close()


@pytest.fixture
def everything_is_expensive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHEAP", NOTHING)
    monkeypatch.setattr(module, "MOST_IN_A_THREAD", NOTHING)


def itself(decoded: Decoded) -> Decoded:
    return decoded


def idle_processes(decoder: Decoder) -> list[int]:
    return [process.pid for process in decoder._processes._idle]


FILES = [png.plain, jpeg.photo, lambda: jpeg.after_start(jpeg.TURNED), lambda: png.of(png.grey().astype("u2") * 32, 16)]


@pytest.mark.parametrize("make", FILES)
async def test_a_process_decodes_as_a_thread_does(
    decoder: Decoder, everything_is_expensive: None, make: object
) -> None:
    data = make()  # type: ignore[operator]
    found, expected = await decoder.decode(data, RULES, itself), decode(data)
    assert (found.pixels == expected.pixels).all()
    assert (found.turned, found.frame, found.unclear_depth) == (
        expected.turned,
        expected.frame,
        expected.unclear_depth,
    )


async def test_people_see_the_same_from_a_process(
    decoder: Decoder, threads: ThreadPoolExecutor, everything_is_expensive: None
) -> None:
    found = await decoder.picture(threads, png.plain(), 200, MAX_PIXELS)
    assert (np.asarray(found) == np.asarray(picture(png.plain(), 200))).all()


@pytest.mark.parametrize("data", [png.plain()[:2000], png.DAMAGED["a flipped bit"]()])
async def test_a_refusal_comes_back(decoder: Decoder, everything_is_expensive: None, data: bytes) -> None:
    with pytest.raises(TruncatedImage, match="ends before the picture"):
        await decoder.decode(data, RULES, itself)


async def test_what_is_cheap_starts_no_process(decoder: Decoder) -> None:
    await decoder.decode(jpeg.photo(), RULES, itself)
    assert idle_processes(decoder) == []


async def test_what_takes_more_memory_than_there_is_is_refused_undecoded(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHEAP", NOTHING)
    with pytest.raises(TooManyPixels, match="XRAY_MAX_DECODED_BYTES"):
        await Decoder(threads, 1000, 1).decode(png.plain(), RULES, itself)


async def test_memory_is_held_until_the_thread_is_done(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHEAP", NOTHING)
    started, free = threading.Event(), threading.Event()

    def wait(decoded: Decoded) -> Decoded:
        started.set()
        free.wait(DEADLINE_S)
        return decoded

    task = asyncio.create_task(decoder.decode(png.plain(), RULES, wait))
    await asyncio.to_thread(started.wait, DEADLINE_S)
    task.cancel()
    await asyncio.wait([task])
    assert decoder.memory.reserved > 0
    free.set()
    await until_async(lambda: not decoder.memory.reserved)


class Counting(ThreadPoolExecutor):
    """Counts what it is given."""

    tasks = 0

    def submit(self, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.tasks += 1
        return super().submit(*args, **kwargs)


@pytest.mark.parametrize(("left", "tasks"), [(True, 1), (False, 2)])
async def test_what_a_thread_may_take_waits_for_memory_at_most(
    monkeypatch: pytest.MonkeyPatch, left: bool, tasks: int
) -> None:
    """One task, unless it has to wait for memory."""
    monkeypatch.setattr(module, "CHEAP", NOTHING)
    with Counting(1) as threads:
        decoder = Decoder(threads, 200 * 2**20, 1)
        taken = 0 if left else decoder.memory.total
        await decoder.memory.take(taken)
        task = asyncio.create_task(decoder.decode(png.plain(), RULES, itself))
        await until_async(lambda: left or bool(decoder.memory._waiting))
        decoder.memory.give_back(taken)
        assert (await task).pixels.shape == (200, 200, 1)
        assert threads.tasks == tasks
        await until_async(lambda: not decoder.memory.reserved)


async def asked_of_a_stopped_process(decoder: Decoder) -> tuple[int, asyncio.Task[Decoded]]:
    """A process that has a request and never answers, as with a file that takes for ever; and who waits for it."""
    await decoder.decode(png.plain(), RULES, itself)
    (pid,) = idle_processes(decoder)
    os.kill(pid, signal.SIGSTOP)
    task = asyncio.create_task(decoder.decode(png.plain(), RULES, itself))
    await until_async(lambda: not idle_processes(decoder))
    return pid, task


async def test_a_process_is_killed_with_its_caller_and_another_one_started(
    decoder: Decoder, everything_is_expensive: None
) -> None:
    pid, task = await asked_of_a_stopped_process(decoder)
    task.cancel()
    await asyncio.wait([task])
    assert decoder.memory.reserved == 0
    await decoder.decode(png.plain(), RULES, itself)
    assert pid not in idle_processes(decoder)


async def test_a_file_that_crashes_the_process_is_refused(decoder: Decoder, everything_is_expensive: None) -> None:
    pid, task = await asked_of_a_stopped_process(decoder)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TruncatedImage):
        await task
    await decoder.decode(png.plain(), RULES, itself)


async def test_a_machine_that_allows_no_process_costs_only_the_image_that_needs_one(
    decoder: Decoder, everything_is_expensive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as refusing:
        refusing.setattr(subprocess, "Popen", refuse)
        with pytest.raises(Overloaded, match="needs a process"):
            await decoder.decode(jpeg.photo(), RULES, itself)
    await decoder.decode(jpeg.photo(), RULES, itself)


async def test_closing_ends_a_process_that_is_busy(threads: ThreadPoolExecutor, everything_is_expensive: None) -> None:
    decoder = Decoder(threads, 200 * 2**20, 1)
    _, task = await asked_of_a_stopped_process(decoder)
    decoder.close()
    await asyncio.wait([task])
    assert task.exception()
