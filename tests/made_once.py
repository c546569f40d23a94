"""What takes minutes to make and many tests read: made once, kept by what it is made of, shared between processes."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path

from filelock import FileLock

_RECORD = "made.json"  # the digest of each file; written last, so that what is half made has none


def packages() -> dict[str, str]:
    """The versions of all that is installed, by name."""
    return {found.name: found.version for found in distributions()}


def key_of(paths: Iterable[Path], versions: Mapping[str, str]) -> str:
    """What something is made of, in 16 digits: the names and bytes of these files, and of all in these folders, and
    the versions of packages.
    """
    digest = hashlib.sha256(json.dumps(sorted(versions.items())).encode())
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(f"{path.name}/{file.relative_to(path)}".encode() + _digest(file).encode())
    return digest.hexdigest()[:16]


def made_once(shelf: Path, key: str, make: Callable[[Path], object]) -> Path:
    """The folder of this key, which ``make`` fills if there is none, or if anything in it is not as it was made.

    One process makes it while the others wait. Folders of other keys are removed: they are of code that is no more.

    Args:
        shelf: the folder of all keys. Keys hold for this place alone: what is made may hold its own path.
        key: see ``key_of``.
        make: called with an empty folder.
    """
    shelf.mkdir(parents=True, exist_ok=True)
    folder = shelf / key
    with FileLock(shelf / "lock"):
        if not _is_as_made(folder):
            for other in shelf.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
            folder.mkdir()
            make(folder)
            (folder / _RECORD).write_text(json.dumps({"folder": str(folder.resolve()), "files": _digests(folder)}))
    return folder


def _is_as_made(folder: Path) -> bool:
    try:
        record = json.loads((folder / _RECORD).read_text())
    except FileNotFoundError:
        return False
    return bool(record == {"folder": str(folder.resolve()), "files": _digests(folder)})


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path != folder / _RECORD)
    return {str(path.relative_to(folder)): _digest(path) for path in sorted(files)}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
