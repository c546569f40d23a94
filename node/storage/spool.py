"""Objects and results as files, in one folder: complete and on disk, or absent.

    objects/NAME.dcm             as received, until it is answered; or a dead letter
    results/NAME.KIND.dcm        as the service sent it, until every destination has acknowledged it
    incoming/                    what is being received or written
    ledger.sqlite                ledger.py

NAME is derived from the SOP Instance UID. File names hold nothing of a patient.
"""

import hashlib
import secrets
import shutil
import threading
from pathlib import Path

from contract.io.files import InUse, LockFile, put_in_place, replacing, sync_folder
from node.config import SpoolSection
from node.header import HeaderError, dataset_identity

_SUFFIX = ".dcm"


class SpoolFull(Exception):
    """There is no room for another object."""


class SpoolInUse(Exception):
    """Another node uses this folder."""


class SpoolUnusable(Exception):
    """The folder or the ledger in it cannot be used; the message is one line with the reason."""


class Spool:
    """The files of one node. Safe to use from several threads.

    Args:
        section: folder and limits.
    """

    def __init__(self, section: SpoolSection) -> None:
        self._limits, self._folder = section, section.folder
        self._lock, self._bytes = threading.Lock(), 0
        for folder in (self._folder, self._incoming, self._objects, self._results):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self._folder)

    def claim(self) -> None:
        """Make this process the only node of the folder, and delete what an earlier one had not finished writing.

        Raises:
            SpoolInUse: another process is.
            OSError: the folder cannot be used; its filesystem has no locks, for example.
        """
        try:
            self._claim = LockFile(self._folder / "lock", mode=0o600, is_kept=True, is_required=True)
        except InUse as holder:
            raise SpoolInUse(f"{self._folder} is in use by another node: {holder}") from None
        for unfinished in self._incoming.iterdir():
            unfinished.unlink()
        self._bytes = sum(file.stat().st_size for folder in (self._objects, self._results) for file in folder.iterdir())

    def close(self) -> None:
        """Let another process claim the folder."""
        self._claim.close()

    @property
    def ledger_path(self) -> Path:
        """Where the ledger is."""
        return self._folder / "ledger.sqlite"

    @property
    def bytes_used(self) -> int:
        """How much objects, results and unfinished files take, in bytes."""
        return self._bytes

    def new_path(self) -> Path:
        """A new path for what is being received or written."""
        return self._incoming / secrets.token_hex(16)

    def check_room(self) -> None:
        """Check that another object may be received.

        Raises:
            SpoolFull: it may not.
        """
        if shutil.disk_usage(self._folder).free < self._limits.min_free_bytes:
            raise SpoolFull("the disk is nearly full (min_free_bytes)")
        self.reserve(1)
        self.release(1)

    def reserve(self, count: int) -> None:
        """Count bytes that are about to be written to a path of ``new_path``.

        Raises:
            SpoolFull: there is no room for them.
        """
        with self._lock:
            if self._bytes + count > self._limits.max_bytes:
                raise SpoolFull("the spool is full (max_bytes)")
            self._bytes += count

    def release(self, count: int) -> None:
        """Bytes that were counted are not there any more."""
        with self._lock:
            self._bytes -= count

    def object_path(self, uid: str) -> Path:
        """Where an object is kept."""
        return self._objects / (_name(uid) + _SUFFIX)

    def result_path(self, uid: str, kind: str) -> Path:
        """Where the result of this kind for an object is kept."""
        return self._results / f"{_name(uid)}.{kind}{_SUFFIX}"

    def keep_object(self, received: Path, uid: str) -> None:
        """Keep an object that has been received; on disk when this returns. Its bytes are counted already."""
        path = self.object_path(uid)
        replaced = path.stat().st_size if path.exists() else 0
        put_in_place(received, path)
        self.release(replaced)

    def keep_result(self, content: bytes, uid: str, kind: str) -> None:
        """Keep a result; on disk when this returns."""
        path = self.result_path(uid, kind)
        replaced = path.stat().st_size if path.exists() else 0
        with replacing(path, partial=self.new_path()) as file:
            file.write(content)
        self.release(replaced - len(content))

    def read_result(self, uid: str, kind: str) -> bytes:
        """A result that is kept.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        return self.result_path(uid, kind).read_bytes()

    def drop_object(self, uid: str) -> None:
        """Delete an object, if it is there."""
        self._drop(self.object_path(uid))

    def drop_result(self, uid: str, kind: str) -> None:
        """Delete a result, if it is there."""
        self._drop(self.result_path(uid, kind))

    def drop_objects_except(self, uids: set[str]) -> None:
        """Delete every object but these."""
        self._drop_except(self._objects, {self.object_path(uid) for uid in uids})

    def drop_results_except(self, results: set[tuple[str, str]]) -> None:
        """Delete every result but these: UID of the object, and kind."""
        self._drop_except(self._results, {self.result_path(uid, kind) for uid, kind in results})

    def has_results(self) -> bool:
        """Whether any results are kept."""
        return any(self._results.iterdir())

    def orphans(self, known: set[str]) -> list[str]:
        """The UIDs of objects that are none of these: the process ended after it had kept them."""
        expected, found = {self.object_path(uid) for uid in known}, []
        for path in self._objects.iterdir():
            if path not in expected:
                try:
                    found.append(dataset_identity(path).uid)
                except HeaderError:
                    continue
        return found

    @property
    def _incoming(self) -> Path:
        return self._folder / "incoming"

    @property
    def _objects(self) -> Path:
        return self._folder / "objects"

    @property
    def _results(self) -> Path:
        return self._folder / "results"

    def _drop(self, path: Path) -> None:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        self.release(size)

    def _drop_except(self, folder: Path, kept: set[Path]) -> None:
        for path in folder.iterdir():
            if path not in kept:
                self._drop(path)


def _name(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:40]
