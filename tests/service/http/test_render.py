"""``POST /render``: a file as a picture that every browser shows, and what it says of itself."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.access.keys import add_key, make_key
from tests.conftest import Connect, MakeService
from tests.dicom_objects import drawn, grey16
from tests.drawings import chest, jpeg, png
from tests.problems import assert_problem
from tests.waiting import until

pytestmark = pytest.mark.anyio
FACTS = ("X-Columns", "X-Rows", "X-Pixel-Spacing", "X-Pixel-Spacing-At", "X-Window", "X-View-Position", "X-Patient-Age")


def pixels(content: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(content)))


async def test_an_object_is_drawn_with_its_own_window(make_service: MakeService, connect: Connect) -> None:
    sent = drawn(grey16(), WindowCenter=1000, WindowWidth=1001, PatientAge="018M", ViewPosition="PA")
    async with connect(make_service()) as client:
        answer = await client.post("/render", content=sent)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    expected = np.clip((grey16().astype(float) - 999.5 + 500) / 1000, 0, 1) * 255
    assert np.abs(pixels(answer.content).astype(float) - expected).max() <= 1
    height, width = grey16().shape
    assert {name: answer.headers.get(name) for name in FACTS} == {
        "X-Columns": str(width),
        "X-Rows": str(height),
        "X-Pixel-Spacing": None,
        "X-Pixel-Spacing-At": None,
        "X-Window": "1000, 1001",
        "X-View-Position": "PA",
        "X-Patient-Age": "1.5",
    }
    assert "Nobody" not in str(answer.headers)


@pytest.mark.parametrize(
    ("attributes", "spacing", "at"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, "0.2, 0.1", "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]}, "0.2, 0.2", "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.18, 0.18]}, "0.18, 0.18", "patient"),
        ({"PixelSpacing": [0.15, 0.15]}, "0.15, 0.15", "patient"),
        ({"PixelSpacing": [0, 0.15]}, None, None),
        ({"PixelSpacing": [0.15]}, None, None),
    ],
)
async def test_the_size_of_its_pixels_is_stated_if_the_object_says_it(
    attributes: dict[str, Any], spacing: str | None, at: str | None, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service()) as client:
        answer = await client.post("/render", content=drawn(**attributes))
    assert (answer.headers.get("X-Pixel-Spacing"), answer.headers.get("X-Pixel-Spacing-At")) == (spacing, at)


async def test_other_images_are_drawn_too_and_shrunk_if_asked(make_service: MakeService, connect: Connect) -> None:
    height, width = chest().shape
    async with connect(make_service()) as client:
        whole = await client.post("/render", content=png())
        small = await client.post("/render?longest=64", content=jpeg())
        form = await client.post("/render", files={"file": ("x.png", png())})
    assert np.array_equal(pixels(whole.content), chest())
    assert form.content == whole.content
    assert max(pixels(small.content).shape) == 64
    assert (small.headers["X-Columns"], small.headers["X-Rows"]) == (str(width), str(height))


@pytest.mark.parametrize("longest", ["15", "4097", "-20", "ten", "٣٢", "1e3", ""])
async def test_impossible_sizes_are_rejected(longest: str, make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        assert_problem(await client.post("/render", params={"longest": longest}, content=png()), 422, "invalid-request")


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"no image", 415, "unsupported-media-type"),
        (drawn(Modality="CT"), 422, "unsupported-modality"),
        (drawn()[:2000], 422, "truncated-image"),
        (b"", 400, "missing-body"),
    ],
)
async def test_what_cannot_be_drawn_is_rejected(
    body: bytes, status: int, slug: str, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service()) as client:
        answer = await client.post("/render", content=body)
    assert answer.json()["type"] == f"/problems/{slug}"
    assert answer.status_code == status


async def test_it_requires_a_key_charges_its_quota_and_leaves_a_line_in_the_audit_log(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    text, key = make_key("ward", ["predict"], images_per_minute=1)
    add_key(tmp_path / "keys.json", key)
    (tmp_path / "audit").mkdir()
    service = make_service(keys_file=tmp_path / "keys.json", audit="on", audit_folder=tmp_path / "audit")
    async with connect(service) as client:
        assert_problem(await client.post("/render", content=png()), 401, "unauthorized")
        headers = {"Authorization": f"Bearer {text}"}
        assert (await client.post("/render", content=png(), headers=headers)).status_code == 200
        assert_problem(await client.post("/render", content=png(), headers=headers), 429, "quota-exceeded")
    until(lambda: "rendered" in lines(tmp_path))
    assert len(lines(tmp_path)["rendered"]["image_sha256"]) == 64
    assert lines(tmp_path)["rendered"]["caller"] == "ward"
    assert "read" not in lines(tmp_path)


def lines(folder: Path) -> dict[str, dict[str, str]]:
    """The audit log's lines by their event."""
    written = [
        json.loads(line) for path in (folder / "audit").rglob("*.jsonl") for line in path.read_bytes().splitlines()
    ]
    return {line["event"]: line for line in written}
