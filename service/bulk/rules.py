"""The rules of a run: its settings and its model, as far as the rows depend on them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from contract.bundle import Bundle
from service.inference.points import default_point
from service.settings import GuardMode, Settings

FORMAT = 1


class Rules(BaseModel):
    """What the rows of a run depend on besides its list of items. Runs with equal rules and lists write equal files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    part_size: int
    model: str
    version: str
    manifest_sha256: str
    graph: str
    graph_sha256: str
    image_contract: int
    operating_point: str
    population: str | None
    guard: GuardMode
    batch: int
    max_body_bytes: int
    max_pixels: int
    max_decoded_bytes: int
    dicom: bool
    dicom_checks: Literal["warn", "refuse"]
    dicom_ages: str | None
    keep_ids: bool


def rules_for(settings: Settings, bundle: Bundle, graph: str, **options: Any) -> Rules:
    """The rules of a run with these settings.

    Args:
        settings: the effective settings.
        bundle: the model.
        graph: the name of the graph that will run.
        options: ``part_size``, ``batch``, ``dicom`` and ``keep_ids``.
    """
    manifest = bundle.manifest
    point = default_point(manifest, settings.operating_point, settings.population)
    same = ("guard", "max_body_bytes", "max_pixels", "max_decoded_bytes", "dicom_checks", "dicom_ages")
    return Rules(
        model=manifest.name,
        version=manifest.version,
        manifest_sha256=bundle.digest,
        graph=graph,
        graph_sha256=manifest.files[graph],
        image_contract=manifest.image_contract,
        operating_point=point.name,
        population=settings.population,
        **{name: getattr(settings, name) for name in same},
        **options,
    )


def difference(found: Rules, wanted: Rules) -> str | None:
    """How a plan differs from another one, or from the rules of another one, in words; None if it does not."""
    before, now = found.model_dump(), wanted.model_dump()
    for name, value in now.items():
        if before[name] == value:
            continue
        if name in {"items", "list_sha256"}:
            return f"the list of images ({before['items']} then, {now['items']} now)"
        shown = "" if name.endswith("sha256") else f" ({before[name]} then, {value} now)"
        return f"{name}{shown}"
    return None
