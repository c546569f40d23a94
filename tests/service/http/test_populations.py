"""Populations: a request names one, its calibration and thresholds apply, and the answer names it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.calibration import calibrate
from service.__main__ import WRONG_USE, main
from service.settings import SettingsError
from tests.bundles import POINTS, POPULATIONS, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
PNG = {"Content-Type": "image/png"}
# Probability 0.302: PNEUMONIA for a child, and for an adult, whose calibration makes 0.064 of it; else NORMAL.
DIM = encode(np.full((200, 200), 77, np.uint8), "PNG")
GRAPH = 77 / 255
CALIBRATED = float(calibrate(GRAPH, POPULATIONS["adult"].calibration))
LISTED = "the populations of this model are: child, adult, unknown"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "populations" / "1"
    return write_brightness_bundle(folder, operating_points=POINTS, populations=POPULATIONS)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ((None, ""), (None, GRAPH, 0.4)),
        ((None, "?population=unknown"), (None, GRAPH, 0.4)),
        ((None, "?population=child"), ("child", GRAPH, 0.3)),
        ((None, "?population=adult"), ("adult", CALIBRATED, 0.06)),
        ((None, "?population=adult&operating_point=rule-in"), ("adult", CALIBRATED, 0.9)),
        (("adult", ""), ("adult", CALIBRATED, 0.06)),
        (("adult", "?operating_point=rule-in"), ("adult", CALIBRATED, 0.9)),
        (("adult", "?population=child"), ("child", GRAPH, 0.3)),
        (("adult", "?population=unknown"), (None, GRAPH, 0.4)),
    ],
)
async def test_calibration_and_threshold_are_the_population_s(
    folder: Path,
    make_service: MakeService,
    connect: Connect,
    chosen: tuple[str | None, str],
    expected: tuple[str | None, float, float],
) -> None:
    (setting, query), (population, probability, threshold) = chosen, expected
    async with connect(make_service(model=folder, population=setting)) as client:
        answer = (await client.post(f"/predict{query}", content=DIM, headers=PNG)).json()
        explained = await client.post(f"/explain{query}", content=DIM, headers=PNG)
        model = (await client.get("/model")).json()
    entry = answer["predictions"][0]
    assert answer["population"] == population
    assert entry["probability"] == pytest.approx(probability, abs=1e-4)
    assert entry["threshold"] == threshold
    assert entry["label"] == ("PNEUMONIA" if probability >= threshold else "NORMAL")
    assert explained.headers.get("X-Population") == population
    assert explained.headers["X-Probability"] == str(entry["probability"])
    assert explained.headers["X-Threshold"] == str(threshold)
    assert model["population"] == setting
    assert list(model["populations"]) == ["child", "adult"]


async def test_the_open_inference_protocol_has_it_as_a_parameter(
    folder: Path, make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    tensor = {"name": "image", "shape": [1, 200, 200, 1], "datatype": "UINT8", "data": [77] * 40_000}
    service = make_service(model=folder, audit="required", audit_folder=tmp_path)
    answers: list[dict[str, Any]] = []
    async with connect(service) as client:
        for parameters in ({}, {"population": "adult"}):
            body = {"inputs": [tensor], "parameters": parameters, "outputs": [{"name": "probability"}]}
            answers.append((await client.post("/v2/models/brightness/infer", json=body)).json())
    (unknown, adult) = answers
    assert "population" not in unknown["parameters"]
    assert adult["parameters"] | {"provider": ""} == {
        "operating_point": "balanced",
        "population": "adult",
        "threshold": 0.06,
        "provider": "",
    }
    assert adult["outputs"][0]["data"] == pytest.approx([CALIBRATED], abs=1e-4)
    lines = [json.loads(line) for line in (tmp_path / "1" / "audit-00000001.jsonl").read_text().splitlines()]
    assert [line["population"] for line in lines if line["event"] == "read"] == [None, "adult"]


@pytest.mark.parametrize("name", ["", "Adult", "adult,child", "adult%00"])
async def test_one_that_the_model_does_not_have_is_rejected(
    folder: Path, make_service: MakeService, connect: Connect, name: str
) -> None:
    async with connect(make_service(model=folder)) as client:
        answer = await client.post(f"/predict?population={name}", content=DIM, headers=PNG)
    assert assert_problem(answer, 422, "unknown-population")["detail"] == LISTED


async def test_a_model_without_populations_has_none(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        plain = (await client.post("/predict", content=DIM, headers=PNG)).json()
        unknown = (await client.post("/predict?population=unknown", content=DIM, headers=PNG)).json()
        adult = await client.post("/predict?population=adult", content=DIM, headers=PNG)
    assert plain["population"] is None
    assert plain["predictions"] == unknown["predictions"]
    assert assert_problem(adult, 422, "unknown-population")["detail"] == "the populations of this model are: unknown"


def test_an_unknown_one_in_the_settings_is_an_error_at_start(folder: Path, make_service: MakeService) -> None:
    with pytest.raises(SettingsError, match="XRAY_POPULATION: there is no 'martian'; the populations"):
        make_service(model=folder, population="martian")


def test_the_command_line_has_it_as_an_option(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.png").write_bytes(DIM)
    command = ["predict", str(tmp_path / "x.png"), "--model", str(folder), "--format", "csv", "--population"]
    assert main([*command, "martian"]) == WRONG_USE
    assert "there is no 'martian'" in capsys.readouterr().err
    assert main([*command, "adult"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert (header.split(",")[-1], row.split(",")[-1]) == ("population", "adult")
    assert float(row.split(",")[2]) == pytest.approx(CALIBRATED, abs=1e-4)
