"""Half-ill pictures: how they are made, and that heatmaps on the ill side are counted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.datasets import write_sources
from training.data.dataset import Dataset, load_dataset
from training.evaluation import sides
from training.evaluation.sides import half_and_half, pointed_side

Pixels = NDArray[np.uint8]


def bright_places(_graph: bytes, _name: str) -> Callable[[Pixels], NDArray[np.float32]]:
    """A network whose evidence is what is bright in the middle rows."""

    def maps(pixels: Pixels) -> NDArray[np.float32]:
        shares = (pixels[..., 0] > 200).reshape(-1, 25, 8, 25, 8).mean((2, 4))
        shares[:, :10] = shares[:, 15:] = 0
        return shares.astype(np.float32)

    return maps


def with_spots(data: Dataset, columns: list[slice]) -> Dataset:
    """The same labels; grey images with bright spots: those of PNEUMONIA in the middle rows, the others below."""
    pixels = np.full_like(data.pixels, 100)
    for place in columns:
        pixels[data.labels == 1, 90:110, place] = 255
        pixels[data.labels == 0, 150:170, place] = 255
    return replace(data, pixels=pixels)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(sides, "graph_output", bright_places)
    return load_dataset(write_sources(tmp_path), tmp_path / "cache").of_population("adult")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([slice(40, 60), slice(140, 160)], 1.0),
        ([slice(40, 60)], 0.5),  # nothing is to be seen on the other side
        ([], 0.0),
    ],
)
def test_evidence_in_the_half_of_pneumonia_is_counted(data: Dataset, columns: list[slice], expected: float) -> None:
    found = pointed_side(b"", with_spots(data, columns))
    assert found
    assert found.value == pytest.approx(expected)


def test_evidence_in_both_halves_points_nowhere(data: Dataset) -> None:
    bright = replace(data, pixels=np.full_like(data.pixels, 255))
    found = pointed_side(b"", bright)
    assert found
    assert found.value == 0


def test_without_one_of_the_classes_there_is_no_figure(data: Dataset) -> None:
    for label in (0, 1):
        assert pointed_side(b"", data.rows(row.name for row in data.radiographs if row.label == label)) is None


def test_halves_keep_their_image_and_share_their_brightness() -> None:
    random = np.random.default_rng(1)
    left = random.integers(20, 60, (2, 200, 200, 1), np.uint8)
    right = random.integers(100, 250, (2, 200, 200, 1), np.uint8)
    made = half_and_half(left, right)
    assert (made[:, :, :90] == left[:, :, :90]).all()
    assert made[:, :, 110:].mean() == pytest.approx(left.mean(), abs=1)
    own, there = right[0, :, 110:].ravel(), made[0, :, 110:].ravel()
    assert np.corrcoef(own, there)[0, 1] > 0.99
