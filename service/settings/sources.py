"""Where settings come from: options, the environment, and a TOML file with names like ``max_batch = 4``."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from service.settings import Settings, SettingsError

VARIABLE = "XRAY_CONFIG"


def read_settings_file(path: Path) -> dict[str, object]:
    """The values in a file, by the names of the settings; they are not checked yet.

    Raises:
        SettingsError: the file cannot be read, is not TOML, or has a name that is not a setting's.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingsError(f"{path} is not a TOML file: {error}") from None
    for name in values.keys() - Settings.model_fields.keys():
        near = nearest(name, Settings.model_fields)
        raise SettingsError(f"{path}: {name} is not a setting{f'; did you mean {near}?' if near else ''}")
    return values


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant by a misspelt one; None if none is similar enough."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)), None)


def settings_from(options: Mapping[str, object], file: Mapping[str, object] | None = None) -> Settings:
    """The effective settings: options override the environment, that overrides the file, and that the defaults.

    Args:
        options: values by the names of the settings.
        file: likewise, from ``read_settings_file``.

    Raises:
        ValidationError: a setting is wrong; ``explain`` says which.
    """
    below = {name: value for name, value in (file or {}).items() if not is_in_environment(name)}
    return Settings(**cast(Any, below | dict(options)))


def is_in_environment(name: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a variable sets the setting of this name; case does not matter."""
    variables = os.environ if environment is None else environment
    return any(variable.upper() == f"XRAY_{name.upper()}" for variable in variables)
