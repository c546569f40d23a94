"""Drift of incoming images: bins, their counts, and how often chance alone looks like drift."""

import re
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contract.drift import DriftReference, quantiles
from service.core import Service
from service.telemetry.drift import Bins, bins_of, tenths
from service.telemetry.metrics import Metrics
from tests import BUNDLED_MODEL, ROOT
from tests.bundles import GUARD, brightness_bundle, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode, jpeg
from tests.psi import by_bin, psi, psi_of_metrics

COUNTS, SHARES = "xray_drift_images_total", "xray_drift_reference_share"
RISING = tuple(level / 20 for level in range(21))
REFERENCE = DriftReference(measured_on="drawn", images=5, brightness=RISING, contrast=RISING, probability=RISING)
RULES = yaml.safe_load((ROOT / "deploy" / "monitoring" / "drift.yml").read_text())["groups"][0]["rules"]
PNG = {"Content-Type": "image/png"}
samples = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1), min_size=21, max_size=300)


def rule(name: str) -> str:
    return next(str(rule["expr"]) for rule in RULES if name in {rule.get("alert"), rule.get("record")})


def least_images() -> int:
    """The least number of images that the rules require."""
    required = {int(number) for each in RULES for number in re.findall(r">= (\d+)", each["expr"])}
    assert len(required) == 1
    return required.pop()


def grey(level: int) -> bytes:
    return encode(np.full((200, 200), level, np.uint8), "PNG")


def of_grey(metrics: str, feature: str) -> list[float]:
    return [*by_bin(metrics, COUNTS)[feature].values()]


async def metrics_of(client: httpx.AsyncClient) -> str:
    return (await client.get("/metrics")).text


@given(samples)
def test_bins_hold_their_share_of_a_sample(values: list[float]) -> None:
    bins = tenths(quantiles(np.array(values), 12))
    assert bins.shares is not None
    assert len(bins.shares) == len(bins.edges) + 1 == len(bins.names)
    assert sum(bins.shares) == pytest.approx(1)
    assert min(bins.shares) > 0
    assert list(bins.edges) == sorted(set(bins.edges))


@given(samples, st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 300))
def test_values_that_are_often_the_same_are_in_one_bin_of_their_share(
    values: list[float], same: float, often: int
) -> None:
    sample = np.array(values + [same] * often).round(9)
    bins = tenths(quantiles(sample, 9))
    assert bins.shares is not None
    counts = Counter(bins.find(value) for value in sample)
    found = np.cumsum([counts[number] / len(sample) for number in range(len(bins.names))])
    # Quantiles are known at every twentieth, and one image is a share of its own.
    assert np.abs(found - np.cumsum(bins.shares)).max() <= 0.05 + 1 / (len(sample) - 1)


def test_a_bin_includes_its_edge_and_the_last_holds_nan() -> None:
    bins = Bins((0.1, 0.2), None)
    assert bins.names == ["0: to 0.1", "1: to 0.2", "2: over 0.2"]
    values = (-1, 0.1, 0.1000001, 0.2, 0.3, float("inf"), float("nan"))
    assert [bins.find(value) for value in values] == [0, 0, 1, 1, 2, 2, 2]
    assert tenths([0.5] * 21) == Bins((), (1.0,))
    assert tenths([0.5] * 21).names == ["0: all"]


def test_the_bins_are_those_of_the_manifest_or_fixed() -> None:
    bare = bins_of(brightness_bundle().manifest, guarded=False)
    assert bare.keys() == {"brightness", "contrast", "probability"}
    assert all(bins.shares is None and len(bins.edges) == 9 for bins in bare.values())
    full = bins_of(brightness_bundle(input_guard=GUARD, drift_reference=REFERENCE).manifest, guarded=True)
    assert full.keys() == {*bare, "guard_score"}
    assert all(bins.shares == (0.1,) * 10 for bins in full.values())
    assert full["guard_score"].edges == tenths(GUARD.reference).edges
    older = GUARD.model_copy(update={"reference": ()})
    assert bins_of(brightness_bundle(input_guard=older).manifest, guarded=True)["guard_score"].shares is None


def test_a_feature_without_bins_is_ignored() -> None:
    metrics = Metrics()
    metrics.initialise_images([], {"brightness": Bins((0.5,))})
    metrics.drift_observed({"brightness": 0.2, "guard_score": 1})
    assert by_bin(metrics.text().decode(), COUNTS) == {"brightness": {"0: to 0.5": 1, "1: over 0.5": 0}}


@pytest.fixture
def with_reference(tmp_path: Path) -> Path:
    return write_brightness_bundle(tmp_path / "1", drift_reference=REFERENCE)


@pytest.mark.anyio
async def test_images_are_counted_in_the_reference_s_bins(
    with_reference: Path, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service(model=with_reference)) as client:
        before = await metrics_of(client)
        await client.post("/predict", content=grey(64), headers=PNG)
        await client.post("/predict", files=[("file", grey(64)), ("file", grey(255)), ("file", b"none")])
        await client.post("/explain", content=grey(255), headers=PNG)
        after = await metrics_of(client)
    assert {sum(bins.values()) for bins in by_bin(before, COUNTS).values()} == {0}  # warm-up images are not counted
    assert of_grey(after, "brightness") == of_grey(after, "probability") == [0, 0, 2, 0, 0, 0, 0, 0, 0, 1]
    assert of_grey(after, "contrast") == [3] + [0] * 9
    assert by_bin(after, SHARES) == {
        feature: dict.fromkeys(by_bin(after, COUNTS)[feature], 0.1)
        for feature in ("brightness", "contrast", "probability")
    }


@pytest.mark.anyio
async def test_without_a_reference_images_are_counted_without_shares(
    make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service()) as client:
        await client.post("/predict", content=grey(64), headers=PNG)
        metrics = await metrics_of(client)
    assert sum(of_grey(metrics, "brightness")) == 1
    assert by_bin(metrics, SHARES) == {}


@pytest.mark.anyio
@pytest.mark.parametrize(("guard", "counted"), [("warn", 2), ("refuse", 2), ("off", None)])
async def test_guard_scores_of_rejected_images_are_counted(
    guarded_folder: Path, make_service: MakeService, connect: Connect, guard: str, counted: int | None
) -> None:
    async with connect(make_service(model=guarded_folder, guard=guard)) as client:
        for image in (jpeg(), grey(0)):  # the score of a black picture is not a number
            await client.post("/predict", content=image, headers=PNG)
        metrics = by_bin(await metrics_of(client), COUNTS)
    assert sum(metrics["brightness"].values()) == 2
    scores = [*metrics.get("guard_score", {}).values()]
    assert (sum(scores), scores[-1]) == (counted, 1) if counted else scores == []


@pytest.mark.anyio
async def test_known_series_start_at_zero(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(capacity=77, max_images=7)) as client:
        metrics = await metrics_of(client)
    for series in (
        'xray_requests_total{route="/predict",status="200"}',
        'xray_requests_total{route="/predict",status="500"}',
        'xray_requests_total{route="/predict",status="499"}',
        'xray_requests_total{route="/explain",status="503"}',
        'xray_images_failed_total{problem="/problems/truncated-image"}',
        'xray_predictions_total{label="PNEUMONIA",operating_point="balanced"}',
        'xray_predictions_total{label="NORMAL",operating_point="balanced"}',
        'xray_stage_seconds_count{stage="queue"}',
    ):
        assert f"{series} 0.0\n" in metrics
    assert "xray_seats 77.0\n" in metrics


@pytest.mark.parametrize("of_whom", ["another reference", "the past"])
def test_chance_alone_is_hardly_ever_taken_for_drift(of_whom: str) -> None:
    """Against a sample as large as the served model's reference, and against as few as the rules ask for."""
    rng, least = np.random.default_rng(0), least_images()
    known = 524 if of_whom == "another reference" else least
    expected = (rng.multinomial(known, [0.1] * 10, 4000).clip(0.5)) / known
    found = psi(rng.multinomial(least, [0.1] * 10, 4000), expected)
    mark = float(rule("XrayDrift").rpartition(">")[2])
    assert (found > mark).mean() <= 0.001
    assert (
        psi(rng.multinomial(least // 3, [0.1] * 10, 4000), expected) > mark
    ).mean() > 0.01  # fewer would not suffice
    darker = psi(rng.multinomial(least, np.arange(19, 0, -2) / 100, 4000), expected)
    assert (darker > mark).mean() > 0.99


async def readings(service: Service, connect: Connect, images: list[bytes]) -> dict[str, float]:
    async with connect(service) as client:
        for start in range(0, len(images), 8):
            answer = await client.post("/predict", files=[("file", image) for image in images[start : start + 8]])
            assert answer.status_code == 200
        return psi_of_metrics(await metrics_of(client))


@pytest.mark.anyio
async def test_darkened_radiographs_raise_an_alarm_and_plain_ones_do_not(
    real_data: Path, make_service: MakeService, connect: Connect
) -> None:
    marks = dict(re.findall(r"feature=\"(\w+)\"\} > ([\d.]+)", rule("XrayUnlikeReference")))
    files = sorted((real_data / "originals").rglob("*.jpeg"))
    pictures = [Image.open(file).convert("L").resize((400, 400)) for file in files]
    darkened = [picture.point([round(255 * (level / 255) ** 2) for level in range(256)]) for picture in pictures]
    plain, dark = ([encode(np.asarray(picture)) for picture in each] for each in (pictures, darkened))
    settings = {"model": BUNDLED_MODEL, "precision": "int8"}
    usual = await readings(make_service(**settings), connect, plain)
    changed = await readings(make_service(**settings), connect, dark)
    assert marks.keys() == {"guard_score", "brightness", "contrast"}
    assert all(usual[feature] < float(mark) for feature, mark in marks.items()), usual
    assert changed["brightness"] > 2 * float(marks["brightness"]), changed
    assert changed["guard_score"] > float(marks["guard_score"]), changed
