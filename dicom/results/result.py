"""The answer to one object, in the form that reports need; and the UIDs of the objects written about it."""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Literal

# What makes the objects. Each text below is at most 64 characters long, the most that LO holds.
MANUFACTURER = "xray-inference"
SERIES = "AI result - not for diagnostic use"
# Series numbers of the results: beyond those that modalities count to.
REPORT_SERIES, CAPTURE_SERIES = 9901, 9902
Kind = Literal["report", "report series", "capture", "capture series", "finding", "device", "study", "source"]


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one object.

    ``probability``, ``threshold``: 0..1. ``model_sha256``: of the graph that ran. ``warnings``: codes. ``software``:
    version of the service. ``population``, ``site``, ``guard_score``: None: unknown or not in use.
    """

    label: str
    probability: float
    threshold: float
    operating_point: str
    model: str
    version: str
    model_sha256: str
    software: str
    population: str | None = None
    site: str | None = None
    guard_score: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_positive(self) -> bool:
        """Whether the label is PNEUMONIA."""
        return self.label == "PNEUMONIA"

    @property
    def parameters(self) -> list[str]:
        """What the answer depends on, as NAME=VALUE."""
        known = {
            "operating_point": self.operating_point,
            "threshold": f"{self.threshold:g}",
            "population": self.population,
            "site": self.site,
            "model_sha256": self.model_sha256,
            "guard_score": None if self.guard_score is None else f"{self.guard_score:.3f}",
            "warnings": ",".join(self.warnings) or None,
        }
        return [f"{name}={value}" for name, value in known.items() if value is not None]


def uid_of(kind: Kind, *parts: str | None) -> str:
    """A UID that depends on these parts alone (PS3.5 annex B.2: 2.25 and a UUID)."""
    digest = hashlib.sha256("\n".join([kind, *(part or "" for part in parts)]).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def result_uid(kind: Kind, source_uid: str, result: Result) -> str:
    """The UID of an object about a source: the same answer by the same model is the same object."""
    point = (result.operating_point, result.population, result.site, f"{result.threshold:g}")
    return uid_of(kind, source_uid, result.model_sha256, *point)
