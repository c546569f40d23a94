"""Drawn lungs are found at their place; evidence and origin are measured with drawn images."""

from pathlib import Path

import numpy as np
import pytest

from tests import BUNDLED_MODEL
from tests.datasets import write_sources
from tests.drawings import chest
from training.data.dataset import Dataset, load_dataset
from training.data.lungs import lung_atlas, lung_mask, overlap
from training.evaluation.evidence import measure_evidence
from training.evaluation.origin import tell_origin
from training.evaluation.probes import without_bright_details, without_lungs
from training.evaluation.stress import Draw

NO_DRAW = Draw(np.random.default_rng(0), 0, np.empty((0, 256)))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return load_dataset(write_sources(tmp_path), tmp_path / "cache")


def drawn_lungs() -> np.ndarray:
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    ellipses = [((x - side) / 0.25) ** 2 + (y / 0.55) ** 2 < 0.7 for side in (-0.42, 0.42)]
    return ellipses[0] | ellipses[1]


def test_two_drawn_lungs_are_found() -> None:
    found = lung_mask(chest(3, 200, 200))
    assert found is not None
    assert overlap(found, drawn_lungs()) > 0.6


def test_where_there_are_no_lungs_none_are_found() -> None:
    assert lung_mask(np.full((200, 200), 90, np.uint8)) is None
    assert lung_atlas(np.full((2, 200, 200), 90, np.uint8))[1] == 0


def test_an_atlas_is_where_most_lungs_are() -> None:
    atlas, alike = lung_atlas(np.stack([chest(seed, 200, 200) for seed in range(6)]))
    assert overlap(atlas, drawn_lungs()) > 0.7
    assert 0.7 < alike <= 1


def test_overlap_is_of_both() -> None:
    one, other = np.zeros((2, 4, 4), bool)
    one[:2], other[1:3] = True, True
    assert overlap(one, one) == 1
    assert overlap(one, other) == 0.5


def test_text_is_taken_off_and_lungs_are_covered() -> None:
    flat = np.full((200, 200), 80, np.uint8)
    written = flat.copy()
    written[10:14, 10:40] = 255
    assert (without_bright_details(written, NO_DRAW) == flat).all()
    covered = without_lungs(drawn_lungs())(chest(1, 200, 200), NO_DRAW)
    assert len(np.unique(covered[drawn_lungs()])) == 1


def test_evidence_is_measured_of_the_ill(data: Dataset) -> None:
    graph = (BUNDLED_MODEL / "model.onnx").read_bytes()
    ill = int(data.labels.sum())
    everywhere = measure_evidence(graph, data, np.ones((200, 200), bool), 1.0)
    assert everywhere.images <= ill
    assert everywhere.lung_area == 1
    if everywhere.inside:
        assert everywhere.inside.value == pytest.approx(1)
    assert -1 <= everywhere.moved_heatmap <= 1


def test_populations_that_differ_in_brightness_are_told_apart(data: Dataset) -> None:
    graph = (BUNDLED_MODEL / "model.onnx").read_bytes()
    many = data.rows([row.name for row in data.radiographs] * 3)  # the classifiers want 20 images in a leaf
    found = {(c.sees, c.measured_on): c.auc.value for c in tell_origin(graph, many, data, "drawn images")}
    assert found["histogram", "NORMAL images of drawn images"] > 0.9
    assert tell_origin(graph, data.of_population("child"), data, "drawn images") == []
