"""What is to be said about each setting: in the documentation, and in the help of the command line."""

from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from service.settings import Settings

PREFIX = "XRAY_"


class SettingInfo(BaseModel):
    """The documentation of a setting. ``unit``, ``range``, ``choices``: empty if it has none."""

    model_config = ConfigDict(frozen=True)

    variable: str
    default: str
    unit: str
    range: str
    choices: tuple[str, ...]
    meaning: str


# Defaults of the settings that have no fixed one.
_DEFAULTS = {"model": "the bundled model", "operating_point": "the bundle's", "repository": "the bundle's"}


def describe(name: str) -> SettingInfo:
    """The documentation of the setting with this name."""
    field = Settings.model_fields[name]
    unset = "unset" if field.default is None else str(field.default)
    if isinstance(field.default, bool):
        unset = unset.lower()
    extra = field.json_schema_extra
    return SettingInfo(
        variable=f"{PREFIX}{name.upper()}",
        default=_DEFAULTS.get(name, unset),
        unit=str(extra["unit"]) if isinstance(extra, dict) else "",
        range=_range(field),
        choices=choices(field),
        meaning=field.description or "",
    )


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values of a setting that has but a few; empty for any other."""
    if field.annotation is bool:
        return "true", "false"
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _range(field: FieldInfo) -> str:
    """The valid values of a setting: the choices, or the bounds of a number."""
    if found := choices(field):
        return ", ".join(found)
    bounds = {type(constraint): constraint for constraint in field.metadata}
    low, high = bounds.get(Ge), bounds.get(Le)
    if above := bounds.get(Gt):
        return f"over {above.gt}, up to {high.le}" if high else f"over {above.gt}"
    if low and high:
        return f"{low.ge} to {high.le}"
    return f"{low.ge} or more" if low else ""
