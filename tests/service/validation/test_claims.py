"""Verdicts on claims, and how many more images would make one possible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.validation.claims import ClaimedShare, Criteria, claim_of_auc, claim_of_share
from service.validation.intervals import auc_by_patient, share_by_patient
from service.validation.schema import Claim

CRITERIA = Criteria(margin=0.05, width=0.1)
SENSITIVITY = ClaimedShare("sensitivity", 0.9, "PNEUMONIA")


def claim(hits: int, images: int, claimed: ClaimedShare = SENSITIVITY) -> Claim:
    return claim_of_share(claimed, share_by_patient(np.arange(images) < hits, np.arange(images)), CRITERIA)


@pytest.mark.parametrize(
    ("hits", "images", "verdict"),
    [
        (95, 100, "holds"),
        (880, 1000, "holds"),  # below the claimed value, but within the margin
        (70, 100, "does not hold"),
        (18, 20, "too few to say"),
        (85, 100, "too few to say"),
    ],
)
def test_the_verdict(hits: int, images: int, verdict: str) -> None:
    found = claim(hits, images)
    assert found.verdict == verdict
    assert (found.more_images == 0) == (verdict != "too few to say")


@given(st.integers(0, 2**32), st.integers(6, 200), st.floats(0, 3), st.floats(0.6, 0.999))
def test_an_auc_takes_more_images_just_where_they_are_too_few(
    seed: int, images: int, shift: float, claimed: float
) -> None:
    rng = np.random.default_rng(seed)
    pneumonia = np.arange(images) % 2 == 0
    probability = 1 / (1 + np.exp(-rng.normal(shift * pneumonia)))
    found = claim_of_auc(claimed, auc_by_patient(probability, pneumonia, np.arange(images)), CRITERIA)
    assert (found.more_images == 0) == (found.verdict != "too few to say")


def test_as_many_more_images_make_it_sayable_and_fewer_do_not() -> None:
    more = claim(18, 20).more_images
    assert more is not None
    assert 100 < more < 300
    enough = (20 + more + 9) // 10 * 10
    assert claim(enough * 9 // 10, enough).verdict == "holds"
    assert claim((enough - 20) * 9 // 10, enough - 20).verdict == "too few to say"


def test_as_many_more_images_make_the_interval_narrow() -> None:
    more = claim(18, 20).more_images_for_width
    assert more is not None
    for images, is_narrow in (((20 + more + 9) // 10 * 10, True), ((20 + more) // 10 * 10 - 10, False)):
        measured = claim(images * 9 // 10, images).measured
        assert measured is not None
        assert (measured.high - measured.low <= 0.1) == is_narrow


def test_a_figure_on_the_bound_is_never_decided() -> None:
    assert claim(85, 100).more_images is None


def test_images_of_one_patient_count_for_less() -> None:
    right, patient = np.arange(20) < 18, np.arange(20) // 4 * 4
    clustered = claim_of_share(SENSITIVITY, share_by_patient(right, patient), CRITERIA)
    assert (clustered.more_images or 0) > (claim(18, 20).more_images or 0)


def test_a_share_that_should_be_small() -> None:
    flagged = ClaimedShare("flagged", 0.01, "both classes", greatest=True)
    found = [claim(hits, images, flagged) for hits, images in ((1, 200), (40, 200), (0, 5))]
    assert [each.verdict for each in found] == ["holds", "does not hold", "too few to say"]
    assert found[0].measured is not None
    assert found[0].measured.value == 1 / 200


def test_without_images_nothing_can_be_said() -> None:
    found = claim(0, 0)
    assert (found.verdict, found.measured, found.more_images) == ("too few to say", None, None)


@pytest.mark.parametrize(("shift", "verdict"), [(4.0, "holds"), (0.5, "does not hold")])
def test_the_auc(shift: float, verdict: str) -> None:
    pneumonia = np.arange(200) % 2 == 0
    probability = 1 / (1 + np.exp(-np.random.default_rng(1).normal(shift * pneumonia)))
    found = claim_of_auc(0.95, auc_by_patient(probability, pneumonia, np.arange(200)), CRITERIA)
    assert found.verdict == verdict
    few = claim_of_auc(0.95, auc_by_patient(probability[:12], pneumonia[:12], np.arange(12)), CRITERIA)
    assert (few.more_images_for_width or 0) > (found.more_images_for_width or 0)
