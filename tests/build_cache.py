"""A cache for what takes minutes to build and many tests read. It is shared between processes and between runs."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path

from filelock import FileLock

_RECORD = "built.json"  # the digest of each file; written last, so an entry whose build was interrupted has none


def installed_packages() -> dict[str, str]:
    """The versions of all installed packages, by name."""
    return {found.name: found.version for found in distributions()}


def cache_key(paths: Iterable[Path], versions: Mapping[str, str]) -> str:
    """A digest, 16 hexadecimal digits, of what an entry is built from.

    Args:
        paths: source files, and folders, of which every Python file counts with its name and content.
        versions: of packages.
    """
    digest = hashlib.sha256(json.dumps(sorted(versions.items())).encode())
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(f"{path.name}/{file.relative_to(path)}".encode() + _digest(file).encode())
    return digest.hexdigest()[:16]


def cached(cache: Path, key: str, build: Callable[[Path], object]) -> Path:
    """The folder of an entry. It is built if it is missing, or if any file in it is not as it was built.

    One process builds while the others wait. Entries of other keys are removed: their sources no longer exist.

    Args:
        cache: the folder of all entries. An entry is valid in this place only, because it may contain its own path.
        key: see ``cache_key``.
        build: called with an empty folder, which it fills.
    """
    cache.mkdir(parents=True, exist_ok=True)
    entry = cache / key
    with FileLock(cache / "lock"):
        if not _is_valid(entry):
            for other in cache.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
            entry.mkdir()
            build(entry)
            (entry / _RECORD).write_text(json.dumps(_record(entry)))
    return entry


def _is_valid(entry: Path) -> bool:
    try:
        return bool(json.loads((entry / _RECORD).read_text()) == _record(entry))
    except FileNotFoundError:
        return False


def _record(entry: Path) -> dict[str, object]:
    files = (path for path in entry.rglob("*") if path.is_file() and path != entry / _RECORD)
    digests = {str(path.relative_to(entry)): _digest(path) for path in sorted(files)}
    return {"folder": str(entry.resolve()), "files": digests}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
