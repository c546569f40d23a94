"""Settings from a TOML file: names as the options have them, like ``max_batch = 4``."""

import difflib
import tomllib
from pathlib import Path

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
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        raise SettingsError(f"{path}: {name} is not a setting{f'; did you mean {near[0]}?' if near else ''}")
    return values
