"""Operating points: a request may choose one, the response names it, and no typing error selects the default."""

from pathlib import Path

import numpy as np
import pytest

from service.__main__ import WRONG_USE, main
from service.settings import SettingsError
from tests.bundles import POINTS, THRESHOLD
from tests.conftest import Connect, MakeService
from tests.drawings import encode
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
PNG = {"Content-Type": "image/png"}
# Probability 0.302: over the threshold of rule-out, under the two others.
DIM = encode(np.full((200, 200), 77, np.uint8), "PNG")


@pytest.mark.parametrize(
    ("query", "used"),
    [
        ("", "balanced"),
        ("?operating_point=balanced", "balanced"),
        ("?operating_point=rule-out", "rule-out"),
        ("?operating_point=rule%2Dout", "rule-out"),
        ("?operating_point=rule-in", "rule-in"),
    ],
)
async def test_a_request_may_choose(
    choosy_folder: Path, make_service: MakeService, connect: Connect, query: str, used: str
) -> None:
    label = "PNEUMONIA" if used == "rule-out" else "NORMAL"
    async with connect(make_service(model=choosy_folder)) as client:
        answer = (await client.post(f"/predict{query}", content=DIM, headers=PNG)).json()
        metrics = (await client.get("/metrics")).text
    entry = answer["predictions"][0]
    assert (answer["operating_point"], entry["label"], entry["threshold"]) == (used, label, POINTS[used].threshold)
    assert f'xray_predictions_total{{label="{label}",operating_point="{used}"}} 1.0' in metrics


async def test_the_setting_is_the_default(choosy_folder: Path, make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(model=choosy_folder, operating_point="rule-out")) as client:
        queries = ["", "?operating_point=balanced"]
        answers = [(await client.post(f"/predict{query}", content=DIM, headers=PNG)).json() for query in queries]
    assert [answer["operating_point"] for answer in answers] == ["rule-out", "balanced"]
    assert [answer["predictions"][0]["label"] for answer in answers] == ["PNEUMONIA", "NORMAL"]


@pytest.mark.parametrize("name", ["", "brave", "Balanced", "rule_out", "rule-out%00", "%FF", "balanced,rule-out"])
async def test_an_unknown_one_is_rejected_and_the_known_ones_are_listed(
    choosy_folder: Path, make_service: MakeService, connect: Connect, name: str
) -> None:
    async with connect(make_service(model=choosy_folder)) as client:  # the body would be a 415, were it looked at
        answer = await client.post(f"/predict?operating_point={name}", content=b"GIF89a", headers=PNG)
    problem = assert_problem(answer, 422, "unknown-operating-point")
    assert problem["detail"] == "the operating points of this model are: balanced, rule-out, rule-in"


@pytest.mark.parametrize(
    "query",
    [
        "operating_point=rule-out&operating_point=balanced",
        "operating_point=rule-out&operating_point=rule-out",
        "operating-point=rule-out",
        "operatingPoint=rule-out",
        "operating_point=rule-out&threshold=0.1",
        "%FF=1",
    ],
)
async def test_a_typing_error_does_not_select_the_default(
    choosy_folder: Path, make_service: MakeService, connect: Connect, query: str
) -> None:
    async with connect(make_service(model=choosy_folder)) as client:
        answer = await client.post(f"/predict?{query}", content=DIM, headers=PNG)
    assert "operating_point" in assert_problem(answer, 422, "invalid-request")["detail"]


async def test_a_bundle_with_one_point(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        answer = (await client.post("/predict", content=DIM, headers=PNG)).json()
        unknown = await client.post("/predict?operating_point=rule-out", content=DIM, headers=PNG)
    assert (answer["operating_point"], answer["predictions"][0]["threshold"]) == ("balanced", THRESHOLD)
    assert_problem(unknown, 422, "unknown-operating-point")


def test_an_unknown_point_in_the_settings_is_an_error_at_start(choosy_folder: Path, make_service: MakeService) -> None:
    with pytest.raises(
        SettingsError, match=r"XRAY_OPERATING_POINT: there is no 'brave'; .*: balanced, rule-out, rule-in"
    ):
        make_service(model=choosy_folder, operating_point="brave")


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["predict", "x.jpeg"]])
def test_on_the_command_line_it_is_wrong_use(
    choosy_folder: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, "--model", str(choosy_folder), "--operating-point", "brave"]) == WRONG_USE
    printed = capfd.readouterr()
    assert printed.err.startswith("xray-service: XRAY_OPERATING_POINT: there is no 'brave'")
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_the_command_line_names_the_point_it_used(
    choosy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.png").write_bytes(DIM)
    command = ["predict", str(tmp_path / "x.png"), "--model", str(choosy_folder), "--operating-point", "rule-out"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "brightness 1, CPUExecutionProvider, rule-out" in shown
    assert "PNEUMONIA" in shown
