"""What a model claims, and whether a site's images bear it out: a test of non-inferiority with a stated margin.

A claim holds if the whole 95 % interval lies above the claimed value less the margin. It does not hold if the whole
interval lies below that. Otherwise the images are too few to say (Blackwelder, Controlled Clinical Trials 1982; for
intervals in place of a test: Piaggio et al., JAMA 2012). For a share that should be small, above and below change
places.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from contract.bundle import Manifest, Measured, OperatingPoint
from service.validation.intervals import Estimate, wilson
from service.validation.schema import Claim, Verdict

# Beyond this number of images, an answer is out of reach for a site.
_OUT_OF_REACH = 1_000_000
Class = Literal["PNEUMONIA", "NORMAL", "both classes"]


def claimed_points(manifest: Manifest, population: str | None) -> dict[str, OperatingPoint]:
    """The operating points of a population; without one, those of all populations together."""
    return manifest.operating_points if population is None else manifest.populations[population].operating_points


def claimed_auc(manifest: Manifest, population: str | None) -> float | None:
    """The AUC on held-out patients: a site's, or that of all populations. None if the manifest does not state it, as
    for a single population.
    """
    if manifest.site and manifest.site.population == population:
        return manifest.site.auc.value
    if population is not None:
        return None
    test: Mapping[str, Any] = manifest.results.get("test") or {}
    try:
        return float(test["auc"]["value"])
    except (KeyError, TypeError, ValueError):
        return None


def verdict_of(measured: Measured, bound: float) -> Verdict:
    """The verdict on a figure that should be at least ``bound``: the claimed value less the margin."""
    if measured.low >= bound:
        return "holds"
    return "does not hold" if measured.high < bound else "too few to say"


@dataclass(frozen=True, slots=True)
class Criteria:
    """The margin of non-inferiority, and the width of the interval for which numbers of images are stated; 0..1."""

    margin: float
    width: float


@dataclass(frozen=True, slots=True)
class ClaimedShare:
    """A share that is claimed: its name, its value 0..1, and the class whose images count.

    ``greatest``: whether the share should be at most, not at least, what is claimed.
    """

    name: str
    value: float
    of: Class
    greatest: bool = False


def claim_of_share(claimed: ClaimedShare, found: Estimate | None, criteria: Criteria) -> Claim:
    """A claim about a share: a sensitivity, a specificity, or how many images the guard flags.

    Args:
        claimed: the share.
        found: at the site; None: there is no image of the class.
        criteria: margin and width.
    """
    verdict: Verdict = "too few to say"
    more = for_width = None
    if found is not None:
        share, measured, bound = found.measured.value, found.measured, claimed.value - criteria.margin
        if claimed.greatest:
            share, bound = 1 - share, 1 - claimed.value - criteria.margin
            measured = Measured(value=share, low=1 - measured.high, high=1 - measured.low)
        verdict = verdict_of(measured, bound)
        more = 0 if verdict != "too few to say" else _more(found, lambda n: _decides(share, n, bound))
        for_width = more_for_width(found, criteria.width)
    return Claim(
        name=claimed.name,
        claimed=claimed.value,
        measured=found.measured if found else None,
        verdict=verdict,
        of=claimed.of,
        images=found.images if found else 0,
        more_images=more,
        more_images_for_width=for_width,
    )


def claim_of_auc(claimed: float, found: Estimate | None, criteria: Criteria) -> Claim:
    """The claim about the AUC. Its variance falls with the number of images, if the share of both classes stays."""
    measured = None if found is None else found.measured
    bound = claimed - criteria.margin
    verdict: Verdict = "too few to say" if measured is None else verdict_of(measured, bound)
    more = for_width = None
    if found is not None:
        half = (found.measured.high - found.measured.low) / 2
        for_width = _scaled(found.images, half, criteria.width / 2)
        more = 0 if verdict != "too few to say" else _more_for_auc(found, bound)
    return Claim(
        name="AUC",
        claimed=claimed,
        measured=measured,
        verdict=verdict,
        of="both classes",
        images=0 if found is None else found.images,
        more_images=more,
        more_images_for_width=for_width,
    )


def more_for_width(found: Estimate, width: float) -> int | None:
    """How many more images of the class give an interval of this width (Buderer, Academic Emergency Medicine 1996, with
    Wilson's interval in place of the normal approximation); None: out of reach.
    """
    return _more(found, lambda n: _is_narrow(found.measured.value, n, width))


def _more(found: Estimate, is_enough: Callable[[float], bool]) -> int | None:
    """How many more images it takes, found by bisection, at the design effect that the images have now."""
    if is_enough(found.worth):
        return 0
    low, high = found.worth, float(_OUT_OF_REACH)
    if not is_enough(high):
        return None
    while high - low > 1 / 2:
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return max(1, math.ceil(high * found.design_effect) - found.images)


def _more_for_auc(found: Estimate, bound: float) -> int | None:
    """How many more images decide on which side of the bound the area lies; its interval is not symmetric."""
    area = found.measured.value
    side = area - found.measured.low if area > bound else found.measured.high - area
    more = _scaled(found.images, side, abs(area - bound))
    return None if more is None else max(1, more)


def _decides(share: float, n: float, bound: float) -> bool:
    low, high = wilson(share, n)
    return low >= bound or high < bound


def _is_narrow(share: float, n: float, width: float) -> bool:
    low, high = wilson(share, n)
    return high - low <= width


def _scaled(images: int, half: float, wanted: float) -> int | None:
    """How many more images make half an interval as small as wanted: its square falls with their number."""
    if half <= wanted:
        return 0
    needed = images * (half / wanted) ** 2 if wanted > 0 else math.inf
    return math.ceil(needed) - images if needed < _OUT_OF_REACH else None
