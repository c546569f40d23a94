"""A patient's age as text: years, or an age string of DICOM (PS3.5 section 6.2, AS: 045Y, 018M, 003W, 010D)."""

import re

_PER_YEAR = {"": 1, "Y": 1, "M": 12, "W": 52, "D": 365}
# A comma is the decimal separator of most of Europe.
_AGE = re.compile(r"(\d{1,6}(?:[.,]\d{1,9})?) ?([YMWD]?)", re.ASCII | re.IGNORECASE)
# Years. What is above it is a mistake: NIH ChestX-ray14 has patients of 411 years.
OLDEST = 130
# The groups by age in reports and model cards, by the years from which on one is in them.
_BANDS = {"0 to 5": 0, "6 to 17": 6, "18 to 39": 18, "40 to 64": 40, "65 and over": 65}


def years_of(text: str) -> float | None:
    """The age in years, 0 to ``OLDEST``; None if the text is no such age."""
    stated = _AGE.fullmatch(text.strip())
    if stated is None:
        return None
    years = float(stated[1].replace(",", ".")) / _PER_YEAR[stated[2].upper()]
    return years if years <= OLDEST else None


def age_band(years: float) -> str:
    """The group by age that so many years are in, 0 or more; the model cards have the same groups."""
    return max((low, name) for name, low in _BANDS.items() if low <= years)[1]


def by_age(name: str) -> tuple[float, str]:
    """A key that sorts the names of groups: those of ``age_band`` by age, all others after them, by name."""
    return _BANDS.get(name, OLDEST), name
