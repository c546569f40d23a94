"""The view, body part, age and orientation that an object states: warnings for the reader, or refusals by setting.

Absent attributes cause no warning, because most of them are missing in many valid objects.
"""

import re
from dataclasses import dataclass

from pydicom import Dataset

from contract.errors import ImageRefused, UnsupportedAge, UnsupportedBodyPart, UnsupportedView
from contract.image import Note
from dicom.format.values import text, value, words

# PS3.3 C.8.1.2 and C.8.11.5: left and right lateral; and what people write.
_LATERAL = re.compile(r"LL|RL|LAT.*|.*LATERAL.*")
# PS3.16 annex L, and what people write.
_CHEST = re.compile(r".*(CHEST|THORA|TORAX|LUNG|PULM).*")
_UPRIGHT = ["L", "F"]
_AGE = re.compile(r"(\d{3})([DWMY])")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
# Nobody is as old; 999Y stands for an unknown age.
_TOO_OLD = 150


@dataclass(frozen=True, slots=True)
class Context:
    """Which objects the model is meant for.

    ``ages``: in years, each from and below; none: any. ``refuse``: whether others are refused.
    """

    ages: tuple[tuple[float, float], ...]
    refuse: bool = False


def check_context(dataset: Dataset, context: Context) -> list[Note]:
    """The notes on an object.

    Raises:
        UnsupportedView, UnsupportedBodyPart, UnsupportedAge: the context refuses it.
    """
    found: list[tuple[str, str, type[ImageRefused]]] = []
    if _LATERAL.fullmatch(text(dataset, "ViewPosition")):
        found.append(("lateral_view", "it is a lateral view; the model is meant for frontal ones", UnsupportedView))
    part = text(dataset, "BodyPartExamined")
    if part and not _CHEST.fullmatch(part):
        found.append(("other_body_part", "it does not show a chest", UnsupportedBodyPart))
    years = age(dataset)
    if years is not None and context.ages and not any(low <= years < high for low, high in context.ages):
        found.append(("age_outside_model", "the patient's age is one that the model is not meant for", UnsupportedAge))
    notes = []
    for code, meaning, refusal in found:
        if context.refuse:
            raise refusal(f"the DICOM object says that {meaning}")
        notes.append(Note(code, f"the DICOM object says that {meaning}: do not rely on the probability"))
    return notes + _orientation(dataset)


def age(dataset: Dataset) -> float | None:
    """The patient's age in years, by Patient's Age; None if it is absent or no age (PS3.5 section 6.2, AS)."""
    stated = value(dataset, "PatientAge")
    matched = _AGE.fullmatch(stated.strip()) if isinstance(stated, str) else None
    years = int(matched[1]) * _YEARS[matched[2]] if matched else None
    return None if years is None or years >= _TOO_OLD else years


def _orientation(dataset: Dataset) -> list[Note]:
    directions = words(dataset, "PatientOrientation")
    if not directions or directions == _UPRIGHT:
        return []
    return [
        Note(
            "unusual_orientation",
            "the DICOM object says that the image is mirrored or rotated; it was analysed as stored: "
            "verify left and right",
        )
    ]
