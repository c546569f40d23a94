"""Every transfer syntax gives the same picture; one that is not read is named."""

import numpy as np
import pytest

from contract import errors
from dicom.picture import picture
from tests.dicom.reading import CODED, PREFIX, grey
from tests.dicom_objects import compressed, drawn, grey16


@pytest.mark.parametrize("syntax", CODED)
def test_every_lossless_syntax_gives_the_same_picture(syntax: str) -> None:
    pixels = grey16()
    assert np.array_equal(grey(compressed(CODED[syntax](pixels), pixels, syntax)), grey(drawn(pixels)))


@pytest.mark.parametrize(("syntax", "deflated"), [(PREFIX, False), (f"{PREFIX}.1.99", True)])
def test_implicit_and_deflated_give_the_same_picture(syntax: str, deflated: bool) -> None:
    assert np.array_equal(grey(drawn(syntax=syntax)), grey(drawn()))


def test_an_unknown_transfer_syntax_is_named() -> None:
    with pytest.raises(errors.UnsupportedTransferSyntax, match=r"1\.2\.840\.10008\.1\.2\.4\.100"):
        picture(compressed(b"\0\0", grey16(), "1.2.840.10008.1.2.4.100"), 100)
