"""The folder of a repository: bundles as ``<name>/<version>/``."""

import os
import re
from pathlib import Path

from contract.bundle import MANIFEST, NAME_PATTERN, VERSION_PATTERN, find_bundle
from service.inference.loading.bundles import Key
from service.settings import Settings, SettingsError


def repository_folder(settings: Settings, name: str) -> Path | None:
    """The folder of models: the setting; else the folder that holds the bundle of XRAY_MODEL, if that is in
    ``<name>/<version>``; else None.

    Args:
        settings: the effective settings.
        name: of the main model.

    Raises:
        SettingsError: the folder of the setting does not exist.
    """
    if settings.repository is not None:
        if not os.path.isdir(settings.repository):  # noqa: PTH112  Path raises where one may not be entered
            raise SettingsError(f"XRAY_REPOSITORY: {settings.repository} is not a folder")
        return settings.repository
    path = find_bundle(settings.model)
    # Not the version of the main model: XRAY_MODEL may name a newer one that is not served yet.
    is_named = path.parent.name == name and re.fullmatch(VERSION_PATTERN, path.name)
    return path.parent.parent if is_named else None


def bundles_in(folder: Path) -> dict[Key, Path]:
    """The bundles in a repository, by name and version. They are not read."""
    return {(path.parent.name, path.name): path for path in folder.glob("*/*") if _is_bundle(path)}


def _is_bundle(path: Path) -> bool:
    named = re.fullmatch(NAME_PATTERN, path.parent.name) and re.fullmatch(VERSION_PATTERN, path.name)
    return bool(named) and os.path.isfile(path / MANIFEST)  # noqa: PTH113  as above
