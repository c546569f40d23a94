"""The bins that incoming images are counted in, so that a change of what comes in can be seen beside a reference."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.bundle import Manifest
from contract.drift import LEVELS

# Where there is no reference: ten bins all the same.
_TENTHS = tuple(step / 10 for step in range(1, 10))
_FIXED: Mapping[str, tuple[float, ...]] = {
    "guard_score": (0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3),
    "brightness": _TENTHS,
    "contrast": tuple(edge / 2 for edge in _TENTHS),
    "probability": _TENTHS,
}


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of a number, each up to and with its edge, the last over all of them.

    ``shares``: what part of the reference's images lies in each, over 0 and 1 in all; None where there is no reference.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...] | None = None

    @property
    def names(self) -> list[str]:
        """One a bin, in the order of the bins also when sorted as text."""
        under = [f"{number}: to {edge:.6g}" for number, edge in enumerate(self.edges)]
        return [*under, f"{len(self.edges)}: over {self.edges[-1]:.6g}" if self.edges else "0: all"]

    def find(self, value: float) -> int:
        """Which bin a value is in: what is not a number is in the last, as what is infinite is."""
        return sum(not value <= edge for edge in self.edges)


def tenths(quantiles: Sequence[float]) -> Bins:
    """Ten bins of a tenth of the reference each, or fewer and unequal ones where many of its values are one.

    Args:
        quantiles: ascending, at ``contract.drift.LEVELS``.
    """
    # None at the greatest value: nothing of the reference lies over it.
    edges = sorted({edge for edge in quantiles[2:-1:2] if edge < quantiles[-1]})
    up_to = [float(LEVELS[bisect_right(quantiles, edge) - 1]) for edge in edges]
    shares = [round(high - low, 2) for low, high in zip([0.0, *up_to], [*up_to, 1.0], strict=True)]
    return Bins(tuple(edges), tuple(shares))


def bins_of(manifest: Manifest, *, guarded: bool) -> dict[str, Bins]:
    """The bins of each number of an image: those of the manifest's reference, and fixed ones where it has none.

    Args:
        manifest: of the model that is served.
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
