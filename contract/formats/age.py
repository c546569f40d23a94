"""A patient's age as text: years, or an age string of DICOM (PS3.5 section 6.2, AS: 045Y, 018M, 003W, 010D)."""

_PER_YEAR = {"Y": 1, "M": 12, "W": 52, "D": 365}
# Years. What is above it is a mistake: NIH ChestX-ray14 has patients of 411 years.
OLDEST = 130


def years_of(text: str) -> float | None:
    """The age in years, 0 to ``OLDEST``; None if the text is no such age."""
    stated = text.strip()
    number, unit = (stated[:-1], stated[-1].upper()) if stated[-1:].isalpha() else (stated, "Y")
    try:
        years = float(number) / _PER_YEAR[unit]
    except (ValueError, KeyError):
        return None
    return years if 0 <= years <= OLDEST else None  # rules out NaN, too
