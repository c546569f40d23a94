"""The settings of DICOM objects."""

import re
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

_AGES = re.compile(r"(\d{1,3})-(\d{1,3})")


class DicomSettings(BaseSettings):
    """What the service does about what DICOM objects say of their patients and views."""

    dicom_checks: Literal["warn", "refuse"] = Field(
        default="warn",
        description="For a DICOM object that states a lateral view, another body part, or an age outside the model's. "
        "warn: a warning; refuse: 422.",
    )
    dicom_ages: str | None = Field(
        default=None,
        description="Ages in completed years, as FROM-TO, that the model is meant for. Unset: those of the model's "
        "populations, or 1-5.",
    )

    @field_validator("dicom_ages")
    @classmethod
    def _is_a_range(cls, value: str | None) -> str | None:
        if value is not None and not ((ages := _AGES.fullmatch(value)) and int(ages[1]) <= int(ages[2])):
            raise ValueError(f"{value!r} is not a range of ages: use FROM-TO in years, such as 18-120")
        return value

    @property
    def ages(self) -> tuple[tuple[float, float], ...]:
        """``dicom_ages`` in years, each range from and below; none: unset."""
        ages = _AGES.fullmatch(self.dicom_ages or "")
        return ((float(ages[1]), float(ages[2]) + 1),) if ages else ()
