"""The part of a manifest that says that operating points and calibration were chosen on a site's own radiographs."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from contract.figures import Calibration, Fraction, Measured, Record


class Part(Record):
    """The images of one part of a site's data."""

    images: int
    patients: int
    pneumonia_images: int


class Site(Record):
    """A site's own operating points and calibration, on the unchanged graph of a parent bundle.

    ``population``: the only one that they apply to; None: images whose population is unknown. ``calibration`` is
    applied to the graph's probability for those; that of a population is stated in ``populations``.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
    population: str | None
    calibration: Calibration
    prevalence: Fraction = Field(description="Fraction of PNEUMONIA in the images that the calibration was fitted on.")
    auc: Measured = Field(description="On the images that the figures of the operating points were measured on.")
    parent_name: str
    parent_version: str
    parent_manifest_sha256: str
    chosen_on: Part = Field(description="Thresholds and calibration were chosen on these patients.")
    measured_on: Part = Field(description="All figures of the site were measured on these, who chose nothing.")
    data_fingerprint: str = Field(description="SHA-256 over the sorted SHA-256 of the site's image files.")
    made_by: str
    made_at: datetime
