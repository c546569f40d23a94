"""Processes that the service starts have a lower priority that takes effect, and leave Ctrl-C to the service."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.image import MAX_PIXELS
from service.inference.decoding.messages import Message
from service.inference.decoding.process import DecoderProcesses
from service.inference.decoding.rules import Rules
from service.inference.loading.trial import try_in_another_process
from tests.bundles import brightness_graph
from tests.cases import png
from tests.waiting import until_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="sessions are groups for the scheduler on Linux only"),
]


def facts(process: int) -> tuple[int, int, int, str]:
    """Nice value, process group, session, and how willingly the kernel ends it for its memory."""
    willing = Path(f"/proc/{process}/oom_score_adj").read_text().strip()
    return os.getpriority(os.PRIO_PROCESS, process), os.getpgid(process), os.getsid(process), willing


def expected(process: int) -> tuple[int, int, int, str]:
    """Those of a process that works beside this one. In a session of its own, the nice value would have no effect."""
    return min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10), process, os.getsid(0), "1000"


async def test_a_decoder_process() -> None:
    processes = DecoderProcesses(1)
    try:
        await processes.ask(Message(Rules(MAX_PIXELS, 2).to_fields(), png.plain()))
        (process,) = processes._idle
        assert facts(process.pid) == expected(process.pid)
    finally:
        processes.close()


async def test_the_process_that_tries_a_graph_out(monkeypatch: pytest.MonkeyPatch) -> None:
    start, seen = asyncio.create_subprocess_exec, []

    async def observe(*words: str, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*words, **options)
        # It goes on only when it has read the graph, which it gets after this.
        await until_async(lambda: facts(process.pid) == expected(process.pid), lambda: facts(process.pid))
        seen.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", observe)
    await try_in_another_process(brightness_graph(), "model.onnx", 1, 1)
    assert seen
