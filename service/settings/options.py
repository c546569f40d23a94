"""The settings as options of a command line."""

import argparse
import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from pydantic.fields import FieldInfo

from service.settings import Settings
from service.settings.describing import SettingInfo, describe
from service.settings.sources import VARIABLE, read_settings_file

# What matters to a command that loads the model in its own process and serves nobody. The others are accepted as well.
LOCAL = {
    "model",
    "model_key",
    "operating_point",
    "population",
    "device",
    "precision",
    "guard",
    "threads",
    "decode_threads",
    "max_batch",
    "max_images",
    "max_body_bytes",
    "max_pixels",
    "max_decoded_bytes",
}


def add_settings(parser: argparse.ArgumentParser, shown: Collection[str] = tuple(Settings.model_fields)) -> None:
    """Add an option for every setting, and ``--config``.

    Args:
        parser: of one command.
        shown: names of the settings that its help lists.
    """
    group = parser.add_argument_group("settings" if len(shown) == len(Settings.model_fields) else "the model")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help=f"TOML file of settings, below the environment. Or: {VARIABLE}."
    )
    for name, field in Settings.model_fields.items():
        about = describe(name)
        words = _help(about, field).replace("%", "%%") if name in shown else argparse.SUPPRESS
        option = group.add_argument(f"--{name.replace('_', '-')}", metavar=_metavar(about, field), help=words)
        if about.choices:  # checked with all settings, and offered by a shell that completes
            option.completer = partial(_offered, about.choices)  # type: ignore[attr-defined]
    if len(shown) < len(Settings.model_fields):
        parser.epilog = "Further settings: xray-service settings --help"


def given_options(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings among the options, by name."""
    return {name: value for name in Settings.model_fields if (value := getattr(arguments, name, None)) is not None}


def given_in_file(arguments: argparse.Namespace) -> dict[str, object]:
    """The settings in the file that ``--config`` or the environment names, by name; empty without one.

    Raises:
        SettingsError: the file cannot be used.
    """
    path = getattr(arguments, "config", None) or os.environ.get(VARIABLE)
    return read_settings_file(Path(path)) if path else {}


def _offered(choices: Sequence[str], **_: object) -> Sequence[str]:
    return choices


def _metavar(about: SettingInfo, field: FieldInfo) -> str:
    """What stands for the value in the help: the choices, or its unit or kind."""
    if about.choices:
        return f"{{{','.join(about.choices)}}}"
    kinds = {get_args(field.annotation)[0] if get_args(field.annotation) else field.annotation}
    if kinds & {int, float}:
        return about.unit.upper() if about.unit in {"bytes", "seconds"} else "N"
    return "PATH" if Path in kinds else "TEXT"


def _help(about: SettingInfo, field: FieldInfo) -> str:
    limits = f" {about.range[0].upper()}{about.range[1:]}." if about.range and not about.choices else ""
    default = "" if field.default is None else f" Default: {about.default}."
    return f"{about.meaning}{limits}{default}"
