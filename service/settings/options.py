"""The settings as options of a command line."""

import argparse
import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from service.settings import Settings
from service.settings.sources import VARIABLE, read_settings_file, settings_from

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
        default = "" if name == "model" or field.default is None else f" Default: {_text(field.default)}."
        words = f"{field.description}{default}" if name in shown else argparse.SUPPRESS
        group.add_argument(f"--{name.replace('_', '-')}", metavar=_metavar(field), help=words.replace("%", "%%"))
    if len(shown) < len(Settings.model_fields):
        parser.epilog = "Further settings: xray-service settings --help"


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The effective settings of a command.

    Raises:
        SettingsError: the file of settings cannot be used.
        ValidationError: a setting is wrong.
    """
    return settings_from(given_options(arguments), given_in_file(arguments))


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


def _metavar(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "{true,false}"
    if get_origin(field.annotation) is Literal:
        return f"{{{','.join(map(str, get_args(field.annotation)))}}}"
    return "VALUE"


def _text(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
