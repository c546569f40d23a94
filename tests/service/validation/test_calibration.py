"""Calibration at a site: what chance gives, and what the prevalence explains."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.validation.calibration import at_prevalence, calibration_figures, error_by_chance, trained_prevalence
from tests.bundles import POINTS, POPULATIONS, brightness_bundle


def a_site(images: int, prevalence: float, *, bias: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities that are right at a prevalence of one half, apart from a bias in log-odds; and the truth."""
    draw = np.random.default_rng(7)
    pneumonia = draw.random(images) < prevalence
    evidence = draw.normal(np.where(pneumonia, 1.0, -1.0), np.sqrt(2))  # a log likelihood ratio
    return 1 / (1 + np.exp(-(evidence + bias))), pneumonia


def test_probabilities_that_are_right_hold() -> None:
    found = calibration_figures(*a_site(4000, 0.5), trained=0.5)
    assert found.verdict == "holds"
    assert found.error <= found.by_chance < 0.05
    assert found.prevalence == pytest.approx(0.5, abs=0.03)


def test_another_prevalence_is_found_to_explain_the_error() -> None:
    found = calibration_figures(*a_site(4000, 0.1), trained=0.5)
    assert found.verdict == "does not hold"
    assert found.explained_by_prevalence
    assert found.error_at_prevalence is not None
    assert found.error_at_prevalence < 0.05 < found.error


def test_a_bias_is_not_explained_by_the_prevalence() -> None:
    found = calibration_figures(*a_site(4000, 0.5, bias=2.0), trained=0.5)
    assert (found.verdict, found.explained_by_prevalence) == ("does not hold", False)


def test_few_images_say_nothing() -> None:
    assert calibration_figures(*a_site(30, 0.5), trained=0.5).verdict == "too few to say"


def test_an_unknown_prevalence_explains_nothing() -> None:
    found = calibration_figures(*a_site(100, 0.5), trained=None)
    assert (found.error_at_prevalence, found.explained_by_prevalence) == (None, None)


def test_chance_gives_less_error_to_more_images() -> None:
    errors = [error_by_chance(a_site(images, 0.5)[0]) for images in (50, 500, 5000)]
    assert errors[0] > errors[1] > errors[2] > 0


def test_at_prevalence_is_bayes_rule() -> None:
    (found,) = at_prevalence(np.array([0.7]), 0.5, 0.1)
    odds = (0.7 / 0.3) * (0.1 / 0.9)
    assert found == pytest.approx(odds / (1 + odds))


def test_the_prevalence_of_the_manifest() -> None:
    stated = {"validation": {"images": 200, "pneumonia_images": 50}}
    manifest = brightness_bundle(operating_points=POINTS, results=stated, populations=POPULATIONS).manifest
    assert trained_prevalence(manifest, None) == 0.25
    assert trained_prevalence(manifest, "adult") == POPULATIONS["adult"].prevalence
    assert trained_prevalence(brightness_bundle().manifest, None) is None
