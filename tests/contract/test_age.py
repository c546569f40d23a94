"""Ages as text, and the groups by age that reports and model cards share."""

import re

import pytest

from contract.formats.age import age_band, by_age, years_of
from tests import ROOT


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("45", 45),
        (" 45.5 ", 45.5),
        ("45,5", 45.5),
        ("045Y", 45),
        ("018m", 1.5),
        ("026W", 0.5),
        ("0 D", 0),
        ("130", 130),
    ],
)
def test_an_age_is_years_or_as_dicom_writes_it(text: str, years: float) -> None:
    assert years_of(text) == years


@pytest.mark.parametrize("text", ["", "Y", "-1", "131", "nan", "inf", "1e1", "4_5", "3 months", "45,5,5", "1 234"])
def test_any_other_text_is_no_age(text: str) -> None:
    assert years_of(text) is None


def test_groups_are_in_the_order_of_ages_and_other_names_follow() -> None:
    names = [age_band(years) for years in (0, 5.99, 6, 17.9, 18, 39, 40, 64, 65, 130)]
    assert sorted({*names, "AP", "not stated"}, key=by_age) == [*dict.fromkeys(names), "AP", "not stated"]
    assert len(set(names)) == 5


def test_the_cards_of_the_models_have_the_same_groups() -> None:
    cards = "".join(path.read_text() for path in sorted((ROOT / "models").rglob("MODEL_CARD.md")))
    stated = set(re.findall(r"(?m)^\| age ([^|]*) \|", cards))
    assert stated
    assert stated <= {age_band(years) for years in range(131)}
