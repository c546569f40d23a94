"""The bins in which incoming images are counted, so that their distribution can be compared with a reference."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.bundle import Manifest
from contract.drift import LEVELS

# Edges where there is no reference.
_TENTHS = tuple(step / 10 for step in range(1, 10))
_FIXED: Mapping[str, tuple[float, ...]] = {
    "guard_score": (0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3),
    "brightness": _TENTHS,
    "contrast": tuple(edge / 2 for edge in _TENTHS),
    "probability": _TENTHS,
}


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a number. Each includes its upper edge; the last bin holds values above all edges.

    ``shares``: the fraction of the reference images in each bin, above 0, with sum 1; None without a reference.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...] | None = None

    @property
    def names(self) -> list[str]:
        """The label of each bin. Sorted as text, the labels keep the order of the bins."""
        bounded = [f"{number}: to {edge:.6g}" for number, edge in enumerate(self.edges)]
        return [*bounded, f"{len(self.edges)}: over {self.edges[-1]:.6g}" if self.edges else "0: all"]

    def find(self, value: float) -> int:
        """The index of the bin of a value. NaN and infinity are in the last bin."""
        return len(self.edges) if math.isnan(value) else bisect_left(self.edges, value)


def tenths(quantiles: Sequence[float]) -> Bins:
    """Ten bins with a tenth of the reference each; fewer and unequal bins if many reference values are equal.

    Args:
        quantiles: ascending, at ``contract.drift.LEVELS``.
    """
    # No edge at the greatest value: no reference value lies above it.
    edges = sorted({edge for edge in quantiles[2:-1:2] if edge < quantiles[-1]})
    up_to = [float(LEVELS[bisect_right(quantiles, edge) - 1]) for edge in edges]
    shares = [round(high - low, 2) for low, high in zip([0.0, *up_to], [*up_to, 1.0], strict=True)]
    return Bins(tuple(edges), tuple(shares))


def bins_of(manifest: Manifest, *, guarded: bool) -> dict[str, Bins]:
    """The bins of each monitored number of an image: by the manifest's reference, or fixed bins without one.

    Args:
        manifest: of the served model.
        guarded: whether images get a guard score.
    """
    reference, guard = manifest.drift_reference, manifest.input_guard
    known = reference.model_dump(include=set(_FIXED)) if reference else {}
    if guard and len(guard.reference) == len(LEVELS):
        known["guard_score"] = guard.reference
    return {
        name: tenths(known[name]) if name in known else Bins(fixed)
        for name, fixed in _FIXED.items()
        if guarded or name != "guard_score"
    }
