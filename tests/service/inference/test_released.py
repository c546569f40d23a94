"""A model that is unloaded or replaced is released with its last request, also without the garbage collector.

The collector runs when so many objects have been made, however large they are: before its next run, models that only
reference cycles keep in memory would fill it.
"""

import asyncio
import base64
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.core import Service
from service.inference import repository
from tests.bundles import write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode
from tests.fakes import FakeBackend
from tests.waiting import until_async

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("untried")]
GREY, BLACK = (encode(np.full((200, 200), level, np.uint8), "PNG") for level in (102, 0))
CUT = GREY[:-40]


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector; and without logging, because pytest keeps the records with their exceptions."""
    logging.disable()
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


@pytest.fixture
def two_versions(tmp_path: Path) -> Path:
    """The folder of the versions 1 and 2 of a model."""
    for version in ("1", "2"):
        write_brightness_bundle(tmp_path / "brightness" / version, version=version)
    return tmp_path / "brightness"


Answer = Callable[[httpx.AsyncClient], Any]


def v2(data: bytes, path: str = "/v2/models/brightness/infer") -> Answer:
    tensor = {"name": "file", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(data).decode()]}
    return lambda client: client.post(path, json={"inputs": [tensor]})


def raw(path: str, data: bytes) -> Answer:
    return lambda client: client.post(path, content=data, headers={"Content-Type": "image/png"})


def form(*images: bytes) -> Answer:
    files = [("file", (f"{number}.png", data, "image/png")) for number, data in enumerate(images)]
    return lambda client: client.post("/predict", files=files)


# By what makes an exception, which may hold on to the frames of the request: each with the expected status.
REQUESTS: dict[str, tuple[Answer, int]] = {
    "predict": (raw("/predict", GREY), 200),
    "explain": (raw("/explain", GREY), 200),
    "v2": (v2(GREY), 200),
    "a cut file": (raw("/predict", CUT), 422),
    "a cut file to explain": (raw("/explain", CUT), 422),
    "a cut file by v2": (v2(CUT), 422),
    "several, one cut": (form(GREY, CUT, GREY), 200),
    "a model fault": (raw("/predict", BLACK), 500),
    "a model fault by v2": (v2(BLACK), 500),
    "several, one faulty": (form(BLACK, GREY), 200),
}


async def replace(service: Service, folder: Path) -> None:
    """Another version is served; ``folder`` holds two of which one is hidden."""
    (hidden,) = [path for path in folder.iterdir() if path.suffix]
    (shown,) = [path for path in folder.iterdir() if not path.suffix]
    shown.rename(shown.with_suffix(".off"))
    hidden.rename(hidden.with_suffix(""))
    await service.reload()


@pytest.mark.parametrize("request_name", REQUESTS)
async def test_a_replaced_model_is_released_whatever_it_was_asked(  # noqa: PLR0917
    make_service: MakeService,
    connect: Connect,
    two_versions: Path,
    uncollected: None,
    monkeypatch: pytest.MonkeyPatch,
    request_name: str,
) -> None:
    (two_versions / "2").rename(two_versions / "2.off")

    def backend(*_: Any, **__: Any) -> FakeBackend:
        made = FakeBackend()
        made.invalid = 0 if "fault" in request_name else None
        return made

    service = make_service(model=two_versions)
    monkeypatch.setattr("service.inference.loading.graphs.OnnxBackend", backend)
    monkeypatch.setattr("service.inference.reader._blank", lambda kind: GREY)
    async with connect(service) as client:
        answer, status = REQUESTS[request_name]
        await replace(service, two_versions)
        for _ in range(3):
            model = weakref.ref(service.main)
            for _ in range(3):
                assert (await answer(client)).status_code == status
            await replace(service, two_versions)
            await until_async(lambda: model() is None, lambda: gc.get_referrers(model()))  # noqa: B023  at once


async def test_models_that_are_loaded_and_unloaded_under_load_are_released(
    make_service: MakeService, connect: Connect, two_versions: Path, uncollected: None
) -> None:
    service = make_service(model=two_versions / "2")
    released = 0

    def count() -> None:
        nonlocal released
        released += 1

    async with connect(service) as client:
        ended = asyncio.Event()

        async def keep_asking(answer: Answer) -> None:
            while not ended.is_set():
                await answer(client)

        path = "/v2/models/brightness/versions/1/infer"
        asking = [asyncio.create_task(keep_asking(v2(data, path))) for data in (GREY, CUT)]
        for number in range(10):
            model = await service.repository.load("brightness", "1")
            weakref.finalize(model.backend, count)
            del model
            await asyncio.sleep(0)
            await service.repository.unload("brightness", "1")
            await until_async(lambda: released == number + 1)  # noqa: B023  at once
        ended.set()
        await asyncio.gather(*asking)


async def test_the_memory_of_a_released_model_is_given_back(
    make_service: MakeService, connect: Connect, two_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []
    monkeypatch.setattr(repository, "_RELEASED_AFTER_S", 0)
    monkeypatch.setattr(repository, "return_freed_memory", lambda: times.append(1))
    (two_versions / "2").rename(two_versions / "2.off")
    service = make_service(model=two_versions)
    async with connect(service):
        await replace(service, two_versions)
        await until_async(lambda: len(times) == 1)
        (two_versions / "1.off").rename(two_versions / "1")
        await service.repository.load("brightness", "1")
        await service.repository.unload("brightness", "1")
        await until_async(lambda: len(times) == 2)
