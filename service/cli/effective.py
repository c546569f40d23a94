"""The settings in effect, the source of each, and XRAY_* variables that are not settings."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from service.settings import CLIENT_KEY_VARIABLE, Settings
from service.settings.describing import PREFIX
from service.settings.sources import VARIABLE, is_in_environment, nearest

# Variables of training, tests and the client: not settings of the service, but legitimately present.
_OTHER_VARIABLES = {f"{PREFIX}DATA", CLIENT_KEY_VARIABLE, VARIABLE}
_Source = Literal["option", "environment", "file", "default"]


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
    return [EffectiveSetting(variable=f"{PREFIX}{n.upper()}", value=value, source=source(n)) for n, value in values]


def unknown_variables(environment: Mapping[str, str]) -> list[UnknownVariable]:
    """The ``XRAY_*`` variables that are not settings, sorted. Otherwise a misspelt variable would go unnoticed."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    present = sorted(name for name in environment if name.upper().startswith(PREFIX))
    unknown = [name for name in present if name.upper() not in {*known, *_OTHER_VARIABLES}]
    return [UnknownVariable(variable=name, nearest=nearest(name.upper(), known)) for name in unknown]
