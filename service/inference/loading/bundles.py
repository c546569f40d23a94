"""Reading bundles that are to be served: the one that ``XRAY_MODEL`` names, and those of the repository."""

from pathlib import Path

from contract.bundle import MANIFEST, Bundle, BundleError, find_bundle, read_bundle
from service.settings import Settings

Key = tuple[str, str]
"""Name and version."""


def key_of(bundle: Bundle) -> Key:
    """Name and version of a bundle."""
    return bundle.manifest.name, bundle.manifest.version


def read_main(settings: Settings) -> Bundle:
    """The bundle that ``XRAY_MODEL`` names now.

    Raises:
        BundleError: it cannot be served.
        SettingsError: the key of ``XRAY_MODEL_KEY`` cannot be used.
    """
    return _read(settings, find_bundle(settings.model))


def read_successor(settings: Settings, current: Bundle, digest: str | None = None) -> Bundle | None:
    """The bundle that ``XRAY_MODEL`` names now, as the successor of one that is being served; None if it is the same.

    Args:
        settings: the effective settings.
        current: the bundle that is being served.
        digest: of the bundle that is expected; None: any.

    Raises:
        BundleError: it cannot be served, is not the expected one, or has the version of the current one but differs.
        SettingsError: as ``read_main``.
    """
    bundle = read_main(settings)
    if digest not in {None, bundle.digest}:
        raise BundleError(f"{settings.model}: the bundle has changed while it was being loaded")
    if bundle.digest == current.digest:
        return None
    if key_of(bundle) == key_of(current):
        raise BundleError(
            f"{settings.model}: {'/'.join(key_of(bundle))} is already served, with other files; answers name a model "
            "by name and version, so give the new one another version"
        )
    return bundle


def read_model(settings: Settings, folder: Path, key: Key) -> Bundle:
    """The bundle in a folder of the repository.

    Raises:
        BundleError: it cannot be served, or its manifest does not have the name and version of the folder.
        SettingsError: as ``read_main``.
    """
    bundle = _read(settings, folder)
    if (found := key_of(bundle)) != key:
        raise BundleError(f"{folder / MANIFEST}: it names another model, {'/'.join(found)}")
    return bundle


def without_path(error: Exception, path: Path, name: str = "XRAY_MODEL") -> str:
    """The message for callers, who learn no paths: ``name`` stands in place of the path of the bundle."""
    return str(error).replace(str(find_bundle(path)), name).replace(str(path), name)


def _read(settings: Settings, folder: Path) -> Bundle:
    bundle = read_bundle(folder)
    if settings.model_key is not None:
        # Imported late: most services check no signatures, and it takes some time and memory.
        from service.inference.loading.signature import check_signature

        check_signature(folder, bundle, settings.model_key)
    return bundle
