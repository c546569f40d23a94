"""The licences of the packages that are shipped: no GPL, LGPL or AGPL among them."""

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from tests import ROOT

_COPYLEFT = re.compile(r"\b[AL]?GPL|GNU (?:Affero|Lesser|General|Library)", re.IGNORECASE)


def packages(lock: str) -> list[str]:
    """The packages of a lock file."""
    text = (ROOT / "requirements" / lock).read_text()
    return sorted(set(re.findall(r"^([A-Za-z0-9._-]+)==", text, re.M)))


def licence(package: str) -> str:
    """What a package says of its licence: an expression, the classifiers, or the first line of a text."""
    found = metadata(package)
    classifiers = [each for each in found.get_all("Classifier") or [] if each.startswith("License")]
    return "; ".join(filter(None, [found["License-Expression"], (found["License"] or "").split("\n")[0], *classifiers]))


@pytest.mark.parametrize("lock", ["bulk.txt", "cpu.txt", "client.txt"])
def test_nothing_that_is_shipped_is_under_a_gpl(lock: str) -> None:
    licences = {}
    for package in packages(lock):
        try:
            licences[package] = licence(package)
        except PackageNotFoundError:  # for another system or version of Python
            continue
    assert len(licences) >= 10
    assert {package: text for package, text in licences.items() if not text or _COPYLEFT.search(text)} == {}
