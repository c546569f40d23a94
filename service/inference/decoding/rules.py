"""How a file becomes pixels, for the threads of the service and for its decoder processes."""

from dataclasses import dataclass
from typing import Any, Self

# Ages in years: from, and below.
Ages = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one model: the maximum number of pixels of a file, and the model's image contract.

    ``ages``: of the patients that the model is meant for. ``refuse_context``: whether to refuse DICOM objects with a
    view, body part or age that it is not meant for.
    """

    max_pixels: int
    contract: int
    ages: Ages = ()
    refuse_context: bool = False

    def to_fields(self) -> dict[str, Any]:
        """For a message to a decoder process."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """The rules from the result of ``to_fields``, after JSON."""
        ages = tuple((float(low), float(high)) for low, high in fields["ages"])
        return cls(fields["max_pixels"], fields["contract"], ages, fields["refuse_context"])
