"""One image to one result where the thread that decodes an image scores it, and where a batcher collects images."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from contract.cost import Cost
from contract.image import MAX_PIXELS, Decoded
from service.errors import BackendFault, NotReady
from service.inference.batching.batcher import Batcher, Limits
from service.inference.decoding import decoder as module
from service.inference.decoding.decoder import Decoder
from service.inference.decoding.rules import Rules
from service.inference.dicom import decode
from service.inference.guard import Guard
from service.inference.reader import Reader
from service.inference.threads.pool import Pool
from service.telemetry.metrics import Metrics
from tests.cases import png
from tests.fakes import FakeBackend
from tests.waiting import until_async

pytestmark = pytest.mark.anyio
Opener = Callable[..., AbstractAsyncContextManager[Reader]]
IMAGE = png.plain()


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.shutdown()


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def reading(backend: FakeBackend, pool: Pool) -> Opener:
    @asynccontextmanager
    async def open_reader(*, at_once: bool) -> AsyncIterator[Reader]:
        metrics = Metrics()
        batcher = Batcher(backend, Limits(4, 64, 2), on_batch=metrics.batch_done, executor=pool.model)
        decoder = Decoder(pool.decoders, 200 * 2**20, 1)
        task = asyncio.create_task(batcher.run())
        await asyncio.sleep(0)
        yield Reader(batcher, decoder, Guard("off"), metrics, Rules(MAX_PIXELS, 2), at_once=at_once)
        task.cancel()
        await asyncio.wait([task])
        decoder.close()

    return open_reader


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_image_gets_the_same_reading_either_way(reading: Opener, backend: FakeBackend, at_once: bool) -> None:
    backend.heatmap = np.full((5, 5), 0.5, np.float32)
    async with reading(at_once=at_once) as reader:
        plain, explained = await reader.read(IMAGE), await reader.read(IMAGE, explain=True)
    assert plain.heatmap is None
    assert explained.heatmap is not None
    assert plain.probability == explained.probability
    assert (plain.batch_size, backend.sizes) == (1, [1, 1])
    assert plain.decode_s > 0


async def test_the_thread_that_decodes_scores(reading: Opener, backend: FakeBackend) -> None:
    threads: list[str] = []
    backend.on_call = lambda: threads.append(threading.current_thread().name)
    async with reading(at_once=True) as reader:
        await reader.read(IMAGE)
        assert reader.metrics.registry.get_sample_value("xray_batches_total") == 1
        assert reader.batcher.depth == 0
    assert threads[0].startswith("compute")


async def test_an_image_whose_caller_leaves_while_it_is_decoded_is_not_scored(
    reading: Opener, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Decoded:
        decoding.set()
        go_on.wait()
        return decode(*arguments)

    monkeypatch.setattr(module, "decode", slow)
    async with reading(at_once=True) as reader:
        task = asyncio.create_task(reader.read(IMAGE))
        await until_async(decoding.is_set)
        task.cancel()
        await asyncio.wait([task])
        go_on.set()
        await reader.read(IMAGE)
    assert backend.sizes == [1]


async def test_a_fault_of_the_model_is_that_image_s_and_counted(reading: Opener, backend: FakeBackend) -> None:
    async with reading(at_once=True) as reader:
        backend.on_call = lambda: 1 / 0
        for _ in range(2):
            with pytest.raises(BackendFault):
                await reader.read(IMAGE)
        assert reader.batcher.scorer.faults == 2
        backend.on_call = lambda: None
        await reader.read(IMAGE)
        assert reader.batcher.scorer.faults == 0


async def test_after_the_batcher_has_stopped_no_image_is_scored(reading: Opener, backend: FakeBackend) -> None:
    async with reading(at_once=True) as reader:
        pass
    with pytest.raises(NotReady):
        await reader.read(IMAGE)
    assert backend.sizes == []


async def test_what_is_decoded_in_a_process_of_its_own_waits_for_the_batcher(
    reading: Opener, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("CHEAP", "MOST_IN_A_THREAD"):
        monkeypatch.setattr(module, limit, Cost(0, 0))
    async with reading(at_once=True) as reader:
        found = await reader.read(IMAGE)
    assert 0 <= found.probability <= 1
    assert backend.sizes == [1]
