"""Unusual and damaged files through the whole service: answered like their partner, or refused by name."""

import pytest

from tests.cases import jpeg, png
from tests.conftest import Connect, MakeService
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
RAW = {"Content-Type": "application/octet-stream"}


async def test_what_others_read_is_answered_like_the_plain_file(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        for partner, cases in ((png.plain, png.READ_AS_PLAIN), (jpeg.photo, jpeg.READ_AS_PHOTO)):
            expected = (await client.post("/predict", content=partner(), headers=RAW)).json()["predictions"]
            for case, make in cases.items():
                answer = await client.post("/predict", content=make(), headers=RAW)
                assert answer.status_code == 200, case
                assert answer.json()["predictions"] == expected, case


async def test_what_is_not_whole_is_refused(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        for make in png.DAMAGED.values():
            assert_problem(await client.post("/predict", content=make(), headers=RAW), 422, "truncated-image")
        for make in jpeg.UNSUPPORTED.values():
            assert_problem(await client.post("/predict", content=make(), headers=RAW), 422, "unsupported-jpeg")


@pytest.mark.parametrize(("bits", "codes"), [(12, []), (13, ["bit_depth_unclear"]), (16, [])])
async def test_an_unclear_range_is_a_warning(
    make_service: MakeService, connect: Connect, bits: int, codes: list[str]
) -> None:
    data = png.of(png.grey().astype("u4") * ((1 << bits) - 1) // 255, 16)
    async with connect(make_service()) as client:
        entry = (await client.post("/predict", content=data, headers=RAW)).json()["predictions"][0]
    assert [warning["code"] for warning in entry["warnings"]] == codes
