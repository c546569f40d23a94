"""``POST /explain``: the heatmap of the same model call, in the right place over the upright radiograph."""

import asyncio
import io
import logging
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.http.drawing import LONGEST_SIDE, PLASMA, coloured_heatmap
from tests.conftest import Connect, MakeService, change_settings
from tests.drawings import chest, encode, jpeg
from tests.fakes import FakeBackend
from tests.problems import assert_problem
from tests.waiting import until_async

pytestmark = pytest.mark.anyio
RAW = {"Content-Type": "application/octet-stream"}
GREY = encode(np.full((640, 800), 100, np.uint8), "PNG")


def backend_with(heatmap: Any) -> FakeBackend:
    backend = FakeBackend()
    backend.heatmap = np.asarray(heatmap, np.float32)
    return backend


def pixels_of(response: httpx.Response) -> NDArray[np.uint8]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)))


async def explain(client: httpx.AsyncClient, data: bytes, query: str = "") -> httpx.Response:
    return await client.post(f"/explain{query}", content=data, headers=RAW)


async def test_the_colours_lie_where_the_evidence_is(make_service: MakeService, connect: Connect) -> None:
    corner = np.zeros((5, 5))
    corner[0, 4] = 1  # the first row is the top, the last column the right
    async with connect(make_service(backend_with(corner))) as client:
        drawn = pixels_of(await explain(client, GREY))
    assert drawn.shape[1] == 800
    assert (drawn[:400, :400] == 100).all()
    assert (drawn[300:600] == 100).all()
    red, green, blue = drawn[10, 790].astype(int)
    assert [red, green, blue] == pytest.approx([100 + 0.6 * (level - 100) for level in PLASMA[-1]], abs=2)


async def test_another_heatmap_gives_another_picture(make_service: MakeService, connect: Connect) -> None:
    drawings = []
    for level in (0.0, 0.2, 0.4, 1.0):
        async with connect(make_service(backend_with(np.full((5, 5), level)))) as client:
            drawings.append(pixels_of(await explain(client, GREY))[:640])
    assert (drawings[0] == 100).all()
    assert len({drawing.tobytes() for drawing in drawings}) == 4


@pytest.mark.parametrize(
    ("size", "drawn"), [((700, 900), (700, 900)), ((1600, 900), (1600, 900)), ((4000, 2000), (1600, 800))]
)
async def test_the_picture_has_its_own_size_up_to_a_limit(
    make_service: MakeService, connect: Connect, size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    async with connect(make_service(FakeBackend())) as client:
        picture = pixels_of(await explain(client, encode(np.full(size[::-1], 100, np.uint8), "PNG")))
    width, height = drawn
    assert picture.shape[1] == width
    assert (picture[:height] == 100).all()
    assert not (picture[height] == 100).all()
    assert max(drawn) <= LONGEST_SIDE


async def test_side_by_side_has_the_bare_radiograph_on_the_left(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(backend_with(np.ones((5, 5))))) as client:
        both = pixels_of(await explain(client, GREY, "?format=side-by-side"))
        overlay = pixels_of(await explain(client, GREY, "?format=overlay"))
    assert (both[:640, :800] == 100).all()
    assert (both[:640, -800:] == overlay[:640]).all()


async def test_the_heatmap_alone_has_one_pixel_per_cell(make_service: MakeService, connect: Connect) -> None:
    evidence = np.linspace(0, 1, 30).reshape(5, 6)
    async with connect(make_service(backend_with(evidence))) as client:
        alone = pixels_of(await explain(client, GREY, "?format=heatmap"))
    assert alone.shape == (5, 6, 4)
    assert (alone == np.asarray(coloured_heatmap(evidence.astype(np.float32)))).all()
    assert (alone[0, 0, 3], alone[-1, -1, 3]) == (0, 255)
    assert tuple(alone[-1, -1, :3]) == PLASMA[-1]


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_the_picture_is_upright(make_service: MakeService, connect: Connect, orientation: int) -> None:
    """A white corner, stored as each orientation has it, is drawn at the top left, under the evidence for it."""
    upright = Image.new("L", (800, 600))
    upright.paste(255, (0, 0, 200, 150))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(stored, "PNG", exif=exif)
    async with connect(make_service(FakeBackend())) as client:
        response = await explain(client, data)
    drawn = pixels_of(response)
    assert drawn.shape[1] == 800
    assert (drawn[:600, :, 0] == np.asarray(upright)).all()
    assert response.headers["x-warnings"] == ("" if orientation == 1 else "exif_orientation_applied")


async def test_the_headers_repeat_the_result_of_predict(
    choosy_folder: Path, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service(model=choosy_folder)) as client:
        for query, point in (("", "balanced"), ("operating_point=rule-in", "rule-in")):
            entry = (await client.post(f"/predict?{query}", content=jpeg(), headers=RAW)).json()["predictions"][0]
            headers = (await explain(client, jpeg(), f"?{query}")).headers
            assert float(headers["x-probability"]) == entry["probability"]
            assert float(headers["x-threshold"]) == entry["threshold"]
            assert (headers["x-label"], headers["x-operating-point"]) == (entry["label"], point)
            assert headers["x-model"] == "brightness/1"
            assert headers["cache-control"] == "no-store"


async def test_the_caption_follows_the_answer(choosy_folder: Path, make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(model=choosy_folder)) as client:
        drawn = [
            pixels_of(await explain(client, GREY, f"?operating_point={point}")) for point in ("rule-in", "rule-out")
        ]
    assert (drawn[0][:640] == drawn[1][:640]).all()
    assert not (drawn[0][640:] == drawn[1][640:]).all()


async def test_a_warning_is_drawn(guarded_folder: Path, make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(model=guarded_folder)) as client:
        warned, calm = await explain(client, GREY), await explain(client, encode(chest(0, 800, 640), "PNG"))
    assert (warned.headers["x-warnings"], calm.headers["x-warnings"]) == ("unlike_training_data", "")
    alarm = [(pixels_of(response)[640:] == (255, 196, 77)).all(-1).any() for response in (warned, calm)]
    assert alarm == [True, False]


async def test_the_response_has_no_metadata_of_the_file(make_service: MakeService, connect: Connect) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"
    data = encode(chest(0), "JPEG", exif=exif, comment=b"Jane Doe")
    sent = [("file", ("Jane_Doe_1970.jpeg", data, "image/jpeg"))]
    async with connect(make_service(FakeBackend())) as client:
        response = await client.post("/explain", files=sent, headers={"X-Request-ID": "case-7"})
    picture = Image.open(io.BytesIO(response.content))
    picture.load()
    assert picture.info == {}
    assert b"Jane" not in response.content + str(response.headers).encode()
    assert response.headers["x-request-id"] == "case-7"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?format=svg", "overlay, heatmap, side-by-side"),
        ("?format=", "overlay, heatmap, side-by-side"),
        ("?format=overlay&format=heatmap", "at most once"),
        ("?formats=heatmap", "format, operating_point"),
    ],
)
async def test_wrong_query_parameters_are_rejected(
    make_service: MakeService, connect: Connect, query: str, words: str
) -> None:
    async with connect(make_service(FakeBackend())) as client:
        assert words in assert_problem(await explain(client, GREY, query), 422, "invalid-request")["detail"]
        assert_problem(await explain(client, GREY, "?operating_point=x"), 422, "unknown-operating-point")


@pytest.mark.parametrize(
    ("data", "status", "slug"),
    [
        (b"", 400, "missing-body"),
        (b"GIF89a", 415, "unsupported-media-type"),
        (jpeg()[:2000], 422, "truncated-image"),
        (encode(np.zeros((20, 20), np.uint8), "PNG"), 422, "image-too-small"),
    ],
)
async def test_problems_of_the_image(
    make_service: MakeService, connect: Connect, data: bytes, status: int, slug: str
) -> None:
    async with connect(make_service(FakeBackend())) as client:
        assert_problem(await explain(client, data), status, slug)
        assert (await explain(client, jpeg())).status_code == 200


async def test_two_images_are_rejected(make_service: MakeService, connect: Connect) -> None:
    files = [("file", (str(number), jpeg(), "image/jpeg")) for number in range(2)]
    async with connect(make_service(FakeBackend())) as client:
        problem = assert_problem(await client.post("/explain", files=files), 400, "too-many-files")
    assert problem["detail"] == "a request may have at most 1 image"


async def test_an_image_that_the_guard_rejects_is_not_drawn_and_explain_is_not_counted(
    guarded_folder: Path, make_service: MakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connect(make_service(model=guarded_folder, guard="refuse")) as client:
        assert_problem(await explain(client, GREY), 422, "unlike-training-data")
        await explain(client, jpeg())
        metrics = (await client.get("/metrics")).text
    assert "xray_guard_flagged_total 0.0" in metrics
    assert "xray_guard_score_count 0.0" in metrics
    counted = re.findall(r"^xray_(?:predictions|drift_images)_total\{.*\} (\S+)$", metrics, re.M)
    assert set(counted) == {"0.0"}
    lines = [record for record in caplog.records if record.name == "service.request"]
    assert [line.flagged for line in lines if line.route == "/explain"] == [1, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("broken", [np.nan, -0.1, 1.1])
async def test_an_invalid_heatmap_fails_explain_only(
    make_service: MakeService, connect: Connect, broken: float
) -> None:
    async with connect(make_service(backend_with(np.full((5, 5), broken)))) as client:
        assert_problem(await explain(client, GREY), 500, "model-fault")
        assert (await client.post("/predict", content=GREY, headers=RAW)).status_code == 200


async def test_capacity_and_deadline_hold_for_explain(make_service: MakeService, connect: Connect) -> None:
    backend = FakeBackend()
    service = make_service(backend, capacity=1, max_images=1)
    async with connect(service) as client:
        backend.hold = free = threading.Event()
        slow = asyncio.create_task(explain(client, GREY))
        await until_async(lambda: any(backend.explained))
        full = await explain(client, GREY)
        assert_problem(full, 503, "overloaded")
        assert full.headers["retry-after"]
        slow.cancel()
        await asyncio.wait([slow])
        change_settings(service, deadline_s=0.2)
        assert_problem(await explain(client, GREY), 504, "deadline-exceeded")
        free.set()


async def test_predict_does_not_compute_heatmaps(make_service: MakeService, connect: Connect) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend)) as client:
        await client.post("/predict", content=GREY, headers=RAW)
        assert not any(backend.explained)
        await explain(client, GREY)
        assert backend.explained[-1] is True
        assert backend.explained[:-1] == [False] * (len(backend.sizes) - 1)


def test_the_colours_are_those_of_plasma() -> None:
    table = np.rint(255 * mpl.colormaps["plasma"](range(256))[:, :3])
    drawn = np.asarray(coloured_heatmap(np.linspace(0, 1, 256, dtype=np.float32)[np.newaxis]))[0, :, :3]
    assert np.abs(table - drawn).max() <= 5
    lightness = drawn @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > -1).all()
    assert lightness[-1] - lightness[0] > 190
