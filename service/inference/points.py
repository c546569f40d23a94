"""Which threshold makes a label of a probability: the operating points of a model."""

from dataclasses import dataclass

from contract.bundle import Manifest
from service.errors import UnknownOperatingPoint
from service.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point as it is used: PNEUMONIA is ``probability >= threshold``, 0..1."""

    name: str
    threshold: float


def find_point(manifest: Manifest, name: str) -> Point:
    """The operating point of this name.

    Raises:
        UnknownOperatingPoint: the model has none of this name; the message lists those it has.
    """
    if point := manifest.operating_points.get(name):
        return Point(name, point.threshold)
    raise UnknownOperatingPoint(f"the operating points of this model are: {', '.join(manifest.operating_points)}")


def default_point(manifest: Manifest, asked: str | None) -> Point:
    """The operating point of requests that name none: the one that the settings ask for, else the bundle's own.

    Raises:
        SettingsError: the model has none of this name.
    """
    try:
        return find_point(manifest, manifest.default_operating_point if asked is None else asked)
    except UnknownOperatingPoint as error:
        raise SettingsError(f"XRAY_OPERATING_POINT: there is no {asked!r}; {error}") from None
