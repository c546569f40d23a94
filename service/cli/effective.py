"""Which settings are in effect, where each comes from, and which variables were meant to be one and are not."""

import difflib
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from service.settings import CLIENT_KEY_VARIABLE, Settings

_PREFIX = "XRAY_"
# Read by training and tests, and by those who ask a service; somebody who does both may well have them set.
_OTHERS = {f"{_PREFIX}DATA", CLIENT_KEY_VARIABLE}


class Fact(BaseModel):
    """What is to be known of a setting. ``unit`` and ``range``: empty where there is none."""

    model_config = ConfigDict(frozen=True)

    variable: str
    default: str
    unit: str
    range: str
    meaning: str


class Effective(BaseModel):
    """One setting: its variable, its value as JSON has it, and where that comes from."""

    model_config = ConfigDict(frozen=True)

    variable: str
    value: str | int | float | None
    source: Literal["option", "environment", "default"]


class Unknown(BaseModel):
    """A variable that is no setting, and the setting that was perhaps meant. Its value is not told: who knows."""

    model_config = ConfigDict(frozen=True)

    variable: str
    nearest: str | None


# Settings without a fixed default, and what holds instead.
_DEFAULTS = {"model": "the bundled model", "operating_point": "the bundle's", "repository": "the bundle's"}


def fact(name: str) -> Fact:
    """What is to be known of a setting, by its name."""
    field = Settings.model_fields[name]
    unset = "unset" if field.default is None else str(field.default)
    if isinstance(field.default, bool):
        unset = unset.lower()
    extra = field.json_schema_extra
    return Fact(
        variable=f"{_PREFIX}{name.upper()}",
        default=_DEFAULTS.get(name, unset),
        unit=str(extra["unit"]) if isinstance(extra, dict) else "",
        range=_range(field),
        meaning=field.description or "",
    )


def _range(field: FieldInfo) -> str:
    """What a setting may be: the words it takes, or the bounds of its number."""
    if field.annotation is bool:
        return "true, false"
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    bounds = {type(each): each for each in field.metadata}
    if above := bounds.get(Gt):
        return f"over {above.gt}"
    low, high = bounds.get(Ge), bounds.get(Le)
    if low and high:
        return f"{low.ge} to {high.le}"
    return f"{low.ge} or more" if low else ""


def effective_settings(
    settings: Settings, options: Mapping[str, object], environment: Mapping[str, str]
) -> list[Effective]:
    """Every setting as it is, in the order of the documentation.

    Args:
        settings: made of these options and this environment.
        options: by the names of the settings.
        environment: variables and their values.
    """
    given = {name.upper() for name in environment}
    found = []
    for name, value in settings.model_dump(mode="json").items():
        variable = f"{_PREFIX}{name.upper()}"
        source: Literal["option", "environment", "default"] = "environment" if variable in given else "default"
        found.append(Effective(variable=variable, value=value, source="option" if name in options else source))
    return found


def unknown_variables(environment: Mapping[str, str]) -> list[Unknown]:
    """The variables ``XRAY_*`` that no setting has, by name. A slip in a name must not pass for the default."""
    known = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
    named = sorted(name for name in environment if name.upper().startswith(_PREFIX))
    unknown = [name for name in named if name.upper() not in {*known, *_OTHERS}]
    return [Unknown(variable=name, nearest=_nearest(name.upper(), known)) for name in unknown]


def _nearest(name: str, known: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None)
