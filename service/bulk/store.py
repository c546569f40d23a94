"""The storage of a run: a folder, or a prefix of a bucket. Every file is written atomically."""

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow
from pyarrow import fs

from contract.io.files import InUse, LockFile, replacing
from service.bulk import s3
from service.bulk.errors import StorageError
from service.settings import SettingsError

# In the names of files that are being written. A killed run leaves some; they are removed by the next one.
_TEMPORARY = ".bulk-partial-"
_LOCK = ".bulk-lock"
_COPIED = 8 * 2**20


class Store(Protocol):
    """A folder or prefix of one run. ``scratch``: a folder for temporary files without a name; None: the system's."""

    scratch: Path | None

    def claimed(self) -> AbstractContextManager[None]:
        """The store for this run alone; it is made if it does not exist. Removes the unfinished files of killed runs,
        and at the end those of this run's killed workers.

        In a bucket, and on filesystems without locks, nothing is held: two runs in one place do the work twice, and
        write the same files.

        Raises:
            SettingsError: it cannot be created, or another run has it.
            StorageError: it cannot be written.
        """

    def names(self) -> set[str]:
        """The names of its files."""

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError if there is none."""

    def open(self, name: str) -> pyarrow.NativeFile:
        """A file, open for reading at any place in it. Raises FileNotFoundError if there is none."""

    def put(self, name: str, content: bytes) -> None:
        """Write or replace a file; when this returns, it is complete and on the disk."""

    def put_file(self, name: str, file: BinaryIO) -> None:
        """The same with the whole content of a temporary file."""

    def remove(self, name: str) -> None:
        """Delete a file, if there is one."""


def open_store(where: str) -> Store:
    """The store of a folder or ``s3://bucket/prefix``. It need not exist.

    Raises:
        SettingsError: no endpoint is set, or no bucket is named.
    """
    if not s3.is_s3(where):
        return _Folder(Path(where))
    if not s3.key_of(where):
        raise SettingsError("--out: name a bucket and a prefix: s3://bucket/prefix")
    return _Prefix(s3.key_of(where), s3.filesystem())


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.scratch: Path | None = path  # the system's may be small, or missing where the root is read-only

    @contextmanager
    def claimed(self) -> Iterator[None]:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"--out: {self._path} cannot be made: {error.strerror}") from None
        lock = self._lock()
        with contextlib.closing(lock):
            self._clean_up()
            try:
                yield
            finally:
                with contextlib.suppress(FileNotFoundError):  # the folder has gone
                    self._clean_up()

    def names(self) -> set[str]:
        with _in_one_line("--out"):
            return {path.name for path in self._path.iterdir() if not path.name.startswith(_TEMPORARY)}

    def read(self, name: str) -> bytes:
        with _in_one_line(name):
            return (self._path / name).read_bytes()

    def open(self, name: str) -> pyarrow.NativeFile:
        with _in_one_line(name):
            return pyarrow.OSFile(str(self._path / name), "rb")

    def put(self, name: str, content: bytes) -> None:
        self._put(name, lambda target: target.write(content))

    def put_file(self, name: str, file: BinaryIO) -> None:
        def copy(target: BinaryIO) -> None:
            file.seek(0)
            shutil.copyfileobj(file, target, _COPIED)

        self._put(name, copy)

    def remove(self, name: str) -> None:
        with _in_one_line(name):
            (self._path / name).unlink(missing_ok=True)

    def _lock(self) -> LockFile:
        try:
            return LockFile(self._path / _LOCK)
        except InUse as holder:
            raise SettingsError(f"--out: another run is at work in {self._path}: {holder}") from None
        except OSError as error:
            raise StorageError(f"--out: {self._path / _LOCK} cannot be written: {error.strerror}") from None

    def _clean_up(self) -> None:
        with _in_one_line("--out"):
            for path in self._path.iterdir():
                if path.name.startswith(_TEMPORARY):
                    path.unlink(missing_ok=True)

    def _put(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        with _is_there(name), _in_one_line(name):
            for again in (True, True, False):
                try:
                    self._replace(name, write)
                    break
                except FileNotFoundError:
                    # Another run in this folder has taken the temporary file for that of a killed one.
                    if not (again and self._path.is_dir()):
                        raise

    def _replace(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        partial = self._path / f"{_TEMPORARY}{secrets.token_hex(8)}"
        with replacing(self._path / name, partial=partial) as file:
            write(file)


class _Prefix:
    scratch: Path | None = None

    def __init__(self, prefix: str, files: fs.S3FileSystem) -> None:
        self._prefix, self._files = prefix, files

    @contextmanager
    def claimed(self) -> Iterator[None]:
        bucket = self._prefix.partition("/")[0]
        try:
            with s3.meaning("--out"):
                found = self._files.get_file_info(bucket)
        except s3.NoSuchBucket:
            found = None
        if found is None or found.type == fs.FileType.NotFound:
            raise SettingsError(f"--out: there is no bucket {bucket}")
        yield

    def names(self) -> set[str]:
        with s3.meaning("--out"):
            found = self._files.get_file_info(fs.FileSelector(self._prefix, allow_not_found=True))
        return {info.base_name for info in found if info.is_file}

    def read(self, name: str) -> bytes:
        with s3.meaning(name), self._files.open_input_stream(f"{self._prefix}/{name}") as stream:
            return bytes(stream.read())

    def open(self, name: str) -> pyarrow.NativeFile:
        with s3.meaning(name):
            return self._files.open_input_file(f"{self._prefix}/{name}")

    def put(self, name: str, content: bytes) -> None:
        with self._written(name) as stream:
            stream.write(content)

    def put_file(self, name: str, file: BinaryIO) -> None:
        file.seek(0)
        with self._written(name) as stream:
            while chunk := file.read(_COPIED):
                stream.write(chunk)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), s3.meaning(name):
            self._files.delete_file(f"{self._prefix}/{name}")

    @contextmanager
    def _written(self, name: str) -> Iterator[pyarrow.NativeFile]:
        with _is_there(name), s3.meaning(name), self._files.open_output_stream(f"{self._prefix}/{name}") as stream:
            yield stream


@contextmanager
def _in_one_line(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:  # a file stands where a folder should
        raise FileNotFoundError(error.errno, error.strerror) from None
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror or 'the storage fails'}") from None


@contextmanager
def _is_there(what: str) -> Iterator[None]:
    """FileNotFoundError as StorageError: the folder or bucket existed when the run began."""
    try:
        yield
    except FileNotFoundError:
        raise StorageError(f"{what}: the folder or bucket of --out has gone") from None
