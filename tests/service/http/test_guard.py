"""Images unlike the training data: a warning, a rejection or nothing, by the score of each image alone."""

import logging
import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.bundle import GRAPH, Measured
from contract.figures import Familiar
from service.__main__ import FAILED, WRONG_USE, main
from service.inference.guard import Guard, choose_guard
from service.settings import GuardMode, SettingsError
from tests.bundles import GUARD, POINTS, POPULATIONS, brightness_graph, manifest, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode, jpeg
from tests.fakes import FakeBackend
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
PNG = {"Content-Type": "image/png"}
GREY, BLACK = (encode(np.full((200, 200), level, np.uint8), "PNG") for level in (200, 0))
CHEST = jpeg()


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (str(number), data, "image/jpeg")) for number, data in enumerate(images)]


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    """The guard's metrics that have no label."""
    text = (await client.get("/metrics")).text
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: sample.value for sample in found if "guard" in sample.name and not sample.labels}


def codes(entry: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in entry["warnings"]]


def flagged(caplog: pytest.LogCaptureFixture) -> list[int]:
    records = [record for record in caplog.records if record.name == "service.request"]
    return [record.flagged for record in records if record.route == "/predict"]  # type: ignore[attr-defined]


async def test_only_the_unlike_images_among_several_get_a_warning(
    guarded_folder: Path, make_service: MakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connect(make_service(model=guarded_folder)) as client:
        answer = await client.post("/predict", files=files(CHEST, GREY, b"", jpeg(1), BLACK))
        metrics = await samples(client)
    assert answer.status_code == 200
    entries = answer.json()["predictions"]
    assert [codes(entry) for entry in entries] == [[], ["unlike_training_data"], [], [], ["unlike_training_data"]]
    assert entries[0]["guard_score"] < entries[3]["guard_score"] + 1 < GUARD.threshold + 1
    assert entries[1]["guard_score"] > GUARD.threshold
    assert [entry["label"] is None for entry in entries] == [False, False, True, False, False]
    assert flagged(caplog) == [2]
    assert metrics["xray_guard_flagged_total"] == 2
    assert metrics["xray_guard_score_count"] == 3  # an infinite score would make the histogram's sum infinite
    assert math.isfinite(metrics["xray_guard_score_sum"])


async def test_the_warning_has_score_threshold_and_advice(
    guarded_folder: Path, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service(model=guarded_folder)) as client:
        entry = (await client.post("/predict", content=GREY, headers=PNG)).json()["predictions"][0]
    detail = entry["warnings"][0]["detail"]
    assert detail.startswith("the image is unlike the radiographs that this model was trained on (see GET /model/card)")
    assert "do not rely on the probability" in detail
    assert detail.endswith(f"guard score {entry['guard_score']:.3f}, flagged above 2.000")


async def test_features_that_are_nan_are_flagged(
    guarded_folder: Path, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service(model=guarded_folder)) as client:
        answer = await client.post("/predict", content=BLACK, headers=PNG)
        assert (await client.get("/health")).json()["status"] == "ok"
    assert answer.status_code == 200
    entry = answer.json()["predictions"][0]
    assert (entry["probability"], entry["guard_score"]) == (0, None)
    assert "guard score not a number" in entry["warnings"][0]["detail"]


async def test_an_image_scores_the_same_alone_and_in_a_batch(
    guarded_folder: Path, make_service: MakeService, connect: Connect
) -> None:
    images = [jpeg(seed) for seed in range(6)] + [GREY, encode(np.full((200, 200), 30, np.uint8), "PNG")]
    async with connect(make_service(model=guarded_folder, max_batch=8)) as client:
        alone = [(await client.post("/predict", files=files(image))).json()["predictions"][0] for image in images]
        together = (await client.post("/predict", files=files(*images))).json()["predictions"]
    for key in ("probability", "guard_score"):
        assert [entry[key] for entry in together] == pytest.approx([entry[key] for entry in alone], abs=1e-5)
    assert len({entry["guard_score"] for entry in together}) == len(images)


async def test_a_rejected_single_image_is_a_problem_response(
    guarded_folder: Path, make_service: MakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connect(make_service(model=guarded_folder, guard="refuse")) as client:
        for image, shown in ((GREY, "flagged above 2.000"), (BLACK, "not a number")):
            problem = assert_problem(
                await client.post("/predict", content=image, headers=PNG), 422, "unlike-training-data"
            )
            assert shown in problem["detail"]
            assert "it was rejected" in problem["detail"]
        assert (await client.post("/predict", content=CHEST, headers=PNG)).status_code == 200
        assert (await samples(client))["xray_guard_flagged_total"] == 2


async def test_a_rejected_image_among_others_affects_none_of_them(
    guarded_folder: Path, make_service: MakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connect(make_service(model=guarded_folder, guard="refuse")) as client:
        answer = await client.post("/predict", files=files(CHEST, GREY, jpeg(1)))
        metrics = (await client.get("/metrics")).text
    entries = answer.json()["predictions"]
    assert answer.status_code == 200
    assert [entry["error"] and entry["error"]["type"] for entry in entries] == [
        None,
        "/problems/unlike-training-data",
        None,
    ]
    assert entries[1]["probability"] is entries[1]["label"] is entries[1]["guard_score"] is None
    assert all(entries[row]["label"] and not entries[row]["warnings"] for row in (0, 2))
    assert 'xray_images_failed_total{problem="/problems/unlike-training-data"} 1.0' in metrics
    assert flagged(caplog) == [1]


async def test_off_neither_warns_nor_counts(guarded_folder: Path, make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(model=guarded_folder, guard="off")) as client:
        entry = (await client.post("/predict", content=GREY, headers=PNG)).json()["predictions"][0]
        metrics, model = await samples(client), (await client.get("/model")).json()
    assert (entry["warnings"], entry["guard_score"]) == ([], None)
    assert metrics["xray_guard_flagged_total"] == metrics["xray_guard_score_count"] == 0
    assert model["guard"] == "off"


@pytest.mark.parametrize("mode", ["warn", "refuse"])
async def test_get_model_has_guard_and_threshold(
    guarded_folder: Path, make_service: MakeService, connect: Connect, mode: str
) -> None:
    async with connect(make_service(model=guarded_folder, guard=mode)) as client:
        model = (await client.get("/model")).json()
        metrics = await samples(client)
    assert (model["guard"], model["input_guard"]["threshold"]) == (mode, GUARD.threshold)
    assert metrics["xray_guard_score_count"] == 0  # the warm-up's black image is not counted


async def test_a_bundle_without_a_guard(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        entry = (await client.post("/predict", content=GREY, headers=PNG)).json()["predictions"][0]
        model = (await client.get("/model")).json()
    assert (entry["warnings"], entry["guard_score"], model["guard"]) == ([], None, "off")


@pytest.mark.parametrize(("setting", "mode"), [("warn", "warn"), ("refuse", "refuse"), ("off", "off")])
def test_the_setting_chooses(setting: GuardMode, mode: str) -> None:
    contents = {GRAPH: b"", "MODEL_CARD.md": b""}
    guard = choose_guard(manifest(contents, input_guard=GUARD), setting)
    assert (guard.mode, guard.threshold) == (mode, math.inf if setting == "off" else 2)


def test_the_threshold_itself_is_not_flagged_and_nan_is() -> None:
    guard = Guard("warn", 2.0)
    assert [guard.flags(score) for score in (0, 2.0, math.nextafter(2, 3), math.inf, math.nan)] == [
        False,
        False,
        True,
        True,
        True,
    ]


async def test_scores_of_a_batch_are_not_mixed_up(
    guarded_folder: Path, make_service: MakeService, connect: Connect
) -> None:
    """The fake's score is ten times the brightness: images brighter than 0.2 are flagged, and only those."""
    backend = FakeBackend(guarded=True)
    levels = [10, 200, 40, 60, 50, 255, 0]
    images = [encode(np.full((200, 200), level, np.uint8), "PNG") for level in levels]
    async with connect(make_service(backend, model=guarded_folder, max_batch=8)) as client:
        entries = (await client.post("/predict", files=files(*images))).json()["predictions"]
    assert [bool(entry["warnings"]) for entry in entries] == [level > 51 for level in levels]
    assert [entry["guard_score"] for entry in entries] == pytest.approx([level / 25.5 for level in levels])


def test_refuse_without_a_guard_is_an_error_at_start(
    bundle_folder: Path, make_service: MakeService, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError):
        make_service(FakeBackend(), guard="refuse")
    assert main(["serve", "--port", "0", "--model", str(bundle_folder), "--guard", "refuse"]) == WRONG_USE
    assert capfd.readouterr().err == "xray-service: XRAY_GUARD=refuse, but this bundle has no input guard\n"


def test_a_guard_without_its_features_is_an_error_at_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = write_brightness_bundle(tmp_path / "1", brightness_graph(features=3), input_guard=GUARD)
    assert main(["serve", "--port", "0", "--model", str(folder), "--device", "cpu"]) == FAILED
    message = "xray-service: model.onnx: its guard needs an output features: float32 [N, 2]\n"
    assert capfd.readouterr().err == message


def test_the_command_line_shows_what_is_flagged(
    guarded_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "x.png").write_bytes(GREY)
    command = ["predict", str(tmp_path / "x.png"), "--model", str(guarded_folder)]
    assert main(command) == 0
    assert "unlike_training_data" in capsys.readouterr().out
    assert main([*command, "--guard", "refuse"]) == FAILED
    assert "Unlike the training data" in capsys.readouterr().out


async def test_the_only_population_that_covers_an_image_is_named(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    """Uniform images of brightness 0.2, 0.5 and 0.8: their second feature is 1."""
    none = Measured(value=0, low=0, high=1)
    known = {
        name: Familiar(location=(mean, 1.0), scale=(0.1, 0.1), threshold=2.5, false_alarms=none)
        for name, mean in (("child", 0.3), ("adult", 0.7))
    }
    guard = GUARD.model_copy(update={"location": (), "scale": (), "populations": known, "threshold": 1.0})
    parts: dict[str, Any] = {"operating_points": POINTS, "populations": POPULATIONS, "input_guard": guard}
    folder = write_brightness_bundle(tmp_path / "two" / "1", brightness_graph(features=2), **parts)
    uniform = [encode(np.full((200, 200), level, np.uint8), "PNG") for level in (51, 128, 204, 0)]
    async with connect(make_service(model=folder)) as client:
        entries = (await client.post("/predict", files=files(*uniform))).json()["predictions"]
        adults = (await client.post("/predict?population=adult", files=files(*uniform))).json()["predictions"]
    assert [entry["covered_by"] for entry in entries] == ["child", None, "adult", None]
    assert [codes(entry) for entry in entries] == [[], [], [], ["unlike_training_data"]]
    # Asked for as adults' images: the one that only the children's are like is pointed out.
    assert [codes(entry) for entry in adults] == [["other_population"], [], [], ["unlike_training_data"]]
    detail = adults[0]["warnings"][0]["detail"]
    assert "population child only, but the image was judged as one of the population adult" in detail
