"""The operating points of a model: named thresholds that turn a probability into a label."""

from dataclasses import dataclass

from contract.bundle import Manifest
from service.errors import UnknownOperatingPoint
from service.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point in use: the label is PNEUMONIA if ``probability >= threshold``, 0..1."""

    name: str
    threshold: float


def find_point(manifest: Manifest, name: str) -> Point:
    """The operating point of this name.

    Raises:
        UnknownOperatingPoint: the model has none of this name; the message lists its operating points.
    """
    if point := manifest.operating_points.get(name):
        return Point(name, point.threshold)
    raise UnknownOperatingPoint(f"the operating points of this model are: {', '.join(manifest.operating_points)}")


def default_point(manifest: Manifest, name: str | None) -> Point:
    """The operating point of requests that name none.

    Args:
        manifest: of the model.
        name: the setting; None: the bundle's default.

    Raises:
        SettingsError: the model has no operating point of this name.
    """
    try:
        return find_point(manifest, manifest.default_operating_point if name is None else name)
    except UnknownOperatingPoint as error:
        raise SettingsError(f"XRAY_OPERATING_POINT: there is no {name!r}; {error}") from None
