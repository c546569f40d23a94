"""Values of a pydicom data set that may be absent, empty or break the rules of their VR: then there is none."""

import math
from collections.abc import Callable
from typing import Any

from pydicom import Dataset, Sequence
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.valuerep import DA, TM, validate_value

# What pydicom raises when it converts a value that breaks its VR.
BROKEN = (ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, TypeError, ValueError)
# Values that are valid by their characters, and still none of their kind, such as 30 February.
_KINDS: dict[str, Callable[[str], Any]] = {"DA": DA, "TM": TM, "DS": float}


def values(dataset: Dataset, keyword: str) -> list[object]:
    """The values of an element; empty if there are none."""
    try:
        found = dataset.get(keyword)
    except BROKEN:
        return []
    if isinstance(found, MultiValue | list | tuple):
        return list(found)
    return [] if found is None else [found]


def value(dataset: Dataset, keyword: str) -> object:
    """The first value of an element; None if there is none."""
    return next(iter(values(dataset, keyword)), None)


def text(dataset: Dataset, keyword: str) -> str:
    """The first value as a string, in capitals and without spaces around it; empty if there is none."""
    found = value(dataset, keyword)
    return found.strip(" \0").upper() if isinstance(found, str) else ""


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a finite number."""
    try:
        found = float(str(value(dataset, keyword)))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def whole(dataset: Dataset, keyword: str) -> int | None:
    """The first value as an integer."""
    found = number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def words(dataset: Dataset, keyword: str) -> list[str]:
    """All values as strings, in capitals."""
    strings = [entry.strip(" \0") for entry in values(dataset, keyword) if isinstance(entry, str)]
    return [entry.upper() for entry in strings if entry]


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence."""
    try:
        found = dataset.get(keyword)
    except BROKEN:
        return None
    return found[0] if isinstance(found, Sequence) and len(found) else None


def valid(dataset: Dataset, keyword: str) -> str | None:
    """The value as a string, if there is one alone and it keeps to its VR."""
    found = values(dataset, keyword)
    written = str(found[0]).strip(" \0") if len(found) == 1 else ""
    try:
        vr = dictionary_VR(keyword)
        validate_value(vr, written, RAISE)
        _KINDS.get(vr, str)(written)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return written if written and written.isprintable() else None
