"""The guard's score: near 1 for images like the training images, greater with distance, infinite for NaN."""

import numpy as np
import pytest
from pydantic import ValidationError

from contract.bundle import InputGuard, Measured
from contract.guard import Statistics, distance


def a_guard(**changes: object) -> InputGuard:
    values = {
        "location": (1.0, -2.0, 0.5),
        "scale": (2.0, 0.1, 1.0),
        "threshold": 1.5,
        "false_alarms": Measured(value=0.01, low=0.0, high=0.02),
        "chosen_on": "a test",
        "reference": tuple(np.linspace(0.5, 2, 21)),
    }
    return InputGuard.model_validate({**values, **changes})


def test_images_like_those_of_training_score_about_one() -> None:
    guard = a_guard()
    features = np.random.default_rng(1).normal(guard.location, guard.scale, (2000, 3)).astype(np.float32)
    assert np.sqrt((distance(features, guard) ** 2).mean()) == pytest.approx(1, abs=0.05)


def test_the_score_counts_standard_deviations() -> None:
    guard = a_guard()
    centre = np.array([guard.location], np.float32)
    shifted = centre + np.array([[0, 0.3, 0]], np.float32)
    assert distance(centre, guard)[0] == pytest.approx(0, abs=1e-6)
    assert distance(shifted, guard)[0] == pytest.approx(3 / np.sqrt(3), rel=1e-5)


def test_the_distance_of_nan_and_infinite_features_is_infinite() -> None:
    features = np.array([[1, -2, 0.5], [np.nan, 0, 0], [np.inf, 0, 0]], np.float32)
    assert np.isfinite(distance(features, a_guard())).tolist() == [True, False, False]


def of_two_populations() -> InputGuard:
    one = {"location": (1.0, -2.0, 0.5), "scale": (2.0, 0.1, 1.0), "false_alarms": Measured(value=0, low=0, high=1)}
    populations = {"child": {**one, "threshold": 2.0}, "adult": {**one, "location": (7.0, -2.0, 0.5), "threshold": 1.0}}
    return a_guard(location=(), scale=(), populations=populations, threshold=1.0)


def test_with_several_populations_the_nearest_one_counts_as_a_multiple_of_its_threshold() -> None:
    guard = of_two_populations()
    child, adult = np.array([[1, -2, 0.5]], np.float32), np.array([[7, -2, 0.5]], np.float32)
    assert distance(np.concatenate([child, adult]), guard) == pytest.approx([0, 0], abs=1e-6)
    known = Statistics(guard)
    assert known.names == ["child", "adult"]
    far = 3 / np.sqrt(3)
    assert known.multiples(child) == pytest.approx(np.array([[0], [far]]), abs=1e-6)
    assert known.multiples(adult) == pytest.approx(np.array([[far / 2], [0]]), abs=1e-6)
    assert guard.features == 3


def test_the_only_population_that_covers_an_image_is_named() -> None:
    guard = of_two_populations()
    child, adult, between, far = [1, -2, 0.5], [9, -2, 0.5], [7, -2, 0.5], [99, 99, 99]
    features = np.array([child, adult, between, far, [np.nan, 0, 0]], np.float32)
    for known, covering in (
        (Statistics(guard), ["child", "adult", None, None, None]),
        (Statistics(a_guard()), [None] * 5),
    ):
        assert known.covered_by(known.multiples(features)) == covering


def test_nan_features_are_infinitely_far_from_every_population() -> None:
    assert distance(np.array([[np.nan, 0, 0]], np.float32), of_two_populations()).tolist() == [np.inf]


@pytest.mark.parametrize("changes", [{"scale": (1.0, 1.0)}, {"scale": (1.0, 0.0, 1.0)}, {"location": (), "scale": ()}])
def test_inconsistent_statistics_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        a_guard(**changes)
