"""The operating points of a model: named thresholds that turn a probability into a label, by population."""

import math
from dataclasses import dataclass, replace

from contract.bundle import UNKNOWN_POPULATION, Calibration, Manifest
from contract.calibration import calibrate
from contract.site import Site
from service.errors import UnknownOperatingPoint, UnknownPopulation
from service.inference.decoding.rules import Ages, Rules
from service.settings import Settings, SettingsError

_CHILDREN: Ages = ((1.0, 6.0),)


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point in use: the label is PNEUMONIA if the calibrated probability is ``threshold`` or above, 0..1.

    ``population``: whose operating point it is; None: that of all populations together, for an image of which none is
    known. ``calibration``: of that population, applied to the graph's probability; None: there is nothing to apply.
    ``site``: whose operating point and calibration they are; None: they are the model's own. ``by_age``: the request
    states no population, so the age in a DICOM object may choose another. ``of_age``: the population that this age is
    of, where the request states another.
    """

    name: str
    threshold: float
    population: str | None = None
    calibration: Calibration | None = None
    site: str | None = None
    by_age: bool = False
    of_age: str | None = None

    def calibrated(self, probability: float) -> float:
        """The probability of PNEUMONIA in the population, from the probability that the graph returned, 0..1."""
        return probability if self.calibration is None else float(calibrate(probability, self.calibration))


def find_point(manifest: Manifest, name: str, population: str | None = None) -> Point:
    """The operating point of this name, for a population.

    Args:
        manifest: of the model.
        name: of the operating point.
        population: a name of the manifest's; "unknown" or None: the operating points that were chosen for all
            populations together.

    Raises:
        UnknownPopulation: the model has no population of this name; the message lists its populations.
        UnknownOperatingPoint: the model has none of this name; the message lists its operating points.
    """
    if population in (None, UNKNOWN_POPULATION):
        site = _site_of(manifest, None)
        threshold, calibration = _threshold(manifest, name), _applicable(site.calibration) if site else None
        return Point(name, threshold, None, calibration, site.name if site else None)
    own = manifest.populations.get(str(population))
    if own is None:
        known = ", ".join([*manifest.populations, UNKNOWN_POPULATION])
        raise UnknownPopulation(f"the populations of this model are: {known}")
    _threshold(manifest, name)  # a population has the same operating points, with other thresholds
    site, threshold = _site_of(manifest, population), own.operating_points[name].threshold
    return Point(name, threshold, population, _applicable(own.calibration), site.name if site else None)


def _site_of(manifest: Manifest, population: str | None) -> Site | None:
    """The site whose calibration and operating points apply to a population (None: unknown), if there is one."""
    return manifest.site if manifest.site and manifest.site.population == population else None


def _applicable(calibration: Calibration) -> Calibration | None:
    return None if calibration.method == "none" else calibration


def _threshold(manifest: Manifest, name: str) -> float:
    if point := manifest.operating_points.get(name):
        return point.threshold
    raise UnknownOperatingPoint(f"the operating points of this model are: {', '.join(manifest.operating_points)}")


def ages_of(manifest: Manifest) -> Ages:
    """The ages in years, each from and below, of the patients that a model is meant for.

    Its populations say it. What was trained without populations was trained with children of one to five years.
    """
    known = [(population.from_age, population.below_age) for population in manifest.populations.values()]
    if not known:
        return _CHILDREN
    return tuple((low or 0.0, math.inf if high is None else high) for low, high in known)


def population_of_age(manifest: Manifest, age: float) -> str | None:
    """The population that patients of this age in years belong to; None if there is none, or more than one."""
    ranges = zip(manifest.populations, ages_of(manifest), strict=False)
    found = [name for name, (low, high) in ranges if low <= age < high]
    return found[0] if len(found) == 1 else None


def point_for_age(manifest: Manifest, point: Point, age: float | None) -> Point:
    """The operating point of an image: that of its request, for the population of the patient's age if the request
    states none. If it states another, that is noted.

    Args:
        manifest: of the model.
        point: of the request.
        age: in years; None: not known.
    """
    population = None if age is None else population_of_age(manifest, age)
    if population in (None, point.population):
        return point
    if point.by_age:
        return find_point(manifest, point.name, population)
    return point if point.population is None else replace(point, of_age=population)


def rules_of(settings: Settings, manifest: Manifest) -> Rules:
    """How files become pixels for a model, by the settings and by what the model is meant for."""
    refuse = settings.dicom_checks == "refuse"
    return Rules(
        settings.max_pixels, manifest.image_contract, settings.ages or ages_of(manifest), refuse_context=refuse
    )


def default_point(manifest: Manifest, name: str | None, population: str | None = None) -> Point:
    """The operating point of requests that name none.

    Args:
        manifest: of the model.
        name: the setting; None: the bundle's default.
        population: the setting; None: unknown.

    Raises:
        SettingsError: the model has no operating point, or no population, of this name.
    """
    try:
        return find_point(manifest, manifest.default_operating_point if name is None else name, population)
    except UnknownOperatingPoint as error:
        raise SettingsError(f"XRAY_OPERATING_POINT: there is no {name!r}; {error}") from None
    except UnknownPopulation as error:
        raise SettingsError(f"XRAY_POPULATION: there is no {population!r}; {error}") from None
