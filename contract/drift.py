"""The drift reference that incoming images are compared with, and the formulas that service and training share."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LEVELS = np.linspace(0, 1, 21)


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(values):
        raise ValueError("quantiles must ascend")
    return values


Quantiles = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], ...],
    Field(min_length=len(LEVELS), max_length=len(LEVELS)),
    AfterValidator(_ascending),
]


class DriftReference(BaseModel):
    """Quantiles over a sample of images, at 0, 5, .. 100 %. Those of the guard's score are ``InputGuard.reference``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_on: str
    images: Annotated[int, Field(gt=0)]
    brightness: Quantiles = Field(description="Mean of an image's pixels; 1 is white.")
    contrast: Quantiles = Field(description="Standard deviation of an image's pixels; 1 is white.")
    probability: Quantiles = Field(description="Probability of PNEUMONIA, from the graph that a CPU runs.")


def brightness_and_contrast(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Brightness and contrast of an image: mean and standard deviation of its pixels.

    Args:
        pixels: uint8 (200, 200, 1).

    Returns:
        0..1 and 0..0.5, where 1 is white.
    """
    levels = pixels.ravel().astype(np.float32)  # a quarter of the time of float64, exact to six digits
    mean = levels.mean()
    levels -= mean
    return float(mean) / 255, float(np.sqrt(np.square(levels).mean())) / 255


def quantiles(values: NDArray[np.floating], digits: int) -> tuple[float, ...]:
    """Quantiles of a sample, float (n,), at 0, 5, .. 100 % (``LEVELS``), rounded to ``digits`` decimals."""
    rounded: tuple[float, ...] = tuple(np.quantile(values, LEVELS).round(digits).tolist())
    return rounded
