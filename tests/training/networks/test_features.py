"""What tells populations apart: Fisher's discriminants."""

import numpy as np
import pytest

from training.networks.features import separating, separating_count


def drawn(*centres: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """4000 points around each centre; the second feature spreads ten times as widely as the others."""
    rng = np.random.default_rng(3)
    spread = np.array([1.0, 10.0, 1.0])
    points = [np.array(centre) + spread * rng.standard_normal((4000, 3)) for centre in centres]
    return np.concatenate(points).astype(np.float32), np.repeat([f"p{n}" for n in range(len(centres))], 4000)


def test_of_two_populations_one_direction_goes_by_difference_and_spread() -> None:
    features, populations = drawn((2, 10, 0), (0, 0, 0))
    directions = separating(features, populations)
    assert directions.shape == (3, separating_count(populations)) == (3, 1)
    assert directions[1, 0] / directions[0, 0] == pytest.approx(10 / 2 / 100, rel=0.1)
    assert abs(directions[2, 0]) < 0.05
    along = features @ directions[:, 0]
    assert along[populations == "p0"].std() == pytest.approx(1, abs=0.05)
    # Better than either feature alone, which tell them apart by 2 and by 1 standard deviation.
    assert along[populations == "p0"].mean() - along[populations == "p1"].mean() == pytest.approx(np.sqrt(5), rel=0.05)


def test_of_three_populations_each_is_told_from_the_others() -> None:
    features, populations = drawn((4, 0, 0), (0, 0, 0), (0, 0, 4))
    along = features @ separating(features, populations)
    assert along.shape[1] == separating_count(populations) == 3
    for number in (0, 2):
        own = along[populations == f"p{number}", number]
        assert own.mean() > along[populations != f"p{number}", number].mean() + 2


def test_one_population_has_nothing_to_be_told_from() -> None:
    assert separating_count(np.array(["a", "a"])) == 0
