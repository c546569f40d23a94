"""The settings in effect, the source of each, and XRAY_* variables that are not settings."""

import difflib
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from service.settings import CLIENT_KEY_VARIABLE, Settings
from service.settings.sources import VARIABLE, is_in_environment

_PREFIX = "XRAY_"
# Variables of training, tests and the client: not settings of the service, but legitimately present.
_OTHER_VARIABLES = {f"{_PREFIX}DATA", CLIENT_KEY_VARIABLE, VARIABLE}
_Source = Literal["option", "environment", "file", "default"]


class SettingInfo(BaseModel):
    """The documentation of a setting. ``unit`` and ``range``: empty if it has none."""

    model_config = ConfigDict(frozen=True)

    variable: str
    default: str
    unit: str
    range: str
    meaning: str


class EffectiveSetting(BaseModel):
    """A setting in effect: its variable, its value as in JSON, and the source of the value."""

    model_config = ConfigDict(frozen=True)

    variable: str
    value: str | int | float | None
    source: _Source


class UnknownVariable(BaseModel):
    """A variable that is not a setting, and the setting with the most similar name, if any.

    Its value is left out, because it could be a secret.
    """

    model_config = ConfigDict(frozen=True)

    variable: str
    nearest: str | None


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
        variable=f"{_PREFIX}{name.upper()}",
        default=_DEFAULTS.get(name, unset),
        unit=str(extra["unit"]) if isinstance(extra, dict) else "",
        range=_range(field),
        meaning=field.description or "",
    )


def _range(field: FieldInfo) -> str:
    """The valid values of a setting: the choices, or the bounds of a number."""
    if field.annotation is bool:
        return "true, false"
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    bounds = {type(constraint): constraint for constraint in field.metadata}
    if above := bounds.get(Gt):
        return f"over {above.gt}"
    low, high = bounds.get(Ge), bounds.get(Le)
    if low and high:
        return f"{low.ge} to {high.le}"
    return f"{low.ge} or more" if low else ""


def effective_settings(
    settings: Settings, options: Mapping[str, object], environment: Mapping[str, str], file: Mapping[str, object]
) -> list[EffectiveSetting]:
    """All settings with their values and sources, in the order of the documentation.

    Args:
        settings: made from these options and this environment.
        options: command-line options, by the names of the settings.
        environment: variables and their values.
        file: values of the file of settings, likewise.
    """

    def source(name: str) -> _Source:
        if name in options:
            return "option"
        if is_in_environment(name, environment):
            return "environment"
        return "file" if name in file else "default"

    values = settings.model_dump(mode="json").items()
    return [EffectiveSetting(variable=f"{_PREFIX}{n.upper()}", value=value, source=source(n)) for n, value in values]


def unknown_variables(environment: Mapping[str, str]) -> list[UnknownVariable]:
    """The ``XRAY_*`` variables that are not settings, sorted. Otherwise a misspelt variable would go unnoticed."""
    known = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
    present = sorted(name for name in environment if name.upper().startswith(_PREFIX))
    unknown = [name for name in present if name.upper() not in {*known, *_OTHER_VARIABLES}]
    return [UnknownVariable(variable=name, nearest=_nearest(name.upper(), known)) for name in unknown]


def _nearest(name: str, known: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None)
