"""The key file: names, scopes and hashes of the API keys. A key itself is shown once, when it is created, and is stored
nowhere.

A key has 256 random bits from the operating system, so its plain SHA-256 cannot be reversed by search; slow hashes are
for passwords, which people choose (NIST SP 800-63B, 5.1.1.2 and 5.1.2.2).
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from contract.io.files import lock, replacing
from contract.io.messages import first_error

Scope = Literal["predict", "admin", "metrics", "feedback"]
_KEY = re.compile(r"xray_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class KeyFileError(Exception):
    """The key file cannot be used, or the change is not possible; the message is one line with the reason."""


class Key(BaseModel):
    """What the key file stores about one key; the key itself is not stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")] = Field(description="The middle part of the key.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the whole key, hexadecimal."
    )
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    images_per_minute: Annotated[int, Field(ge=1)] | None = Field(default=None, description="null: no quota.")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = Field(default=None, description="null: does not expire.")

    def matches(self, text: str, now: datetime) -> bool:
        """Whether this text is the key, and the key has not expired. Compared in constant time (no timing leak)."""
        same = hmac.compare_digest(hashlib.sha256(text.encode()).hexdigest(), self.sha256)
        return same and (self.expires_at is None or now < self.expires_at)


class KeyFile(BaseModel):
    """The content of the key file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for values in ([key.name for key in self.keys], [key.id for key in self.keys]):
            if duplicates := {value for value in values if values.count(value) > 1}:
                raise ValueError(f"duplicate key {', '.join(sorted(duplicates))}")
        return self

    def find(self, text: str) -> Key | None:
        """The key with this text; None if there is none or it has expired."""
        match = _KEY.fullmatch(text)
        found = next((key for key in self.keys if match and key.id == match[1]), None)
        return found if found and found.matches(text, datetime.now(UTC)) else None


def make_key(
    name: str, scopes: Sequence[Scope], images_per_minute: int | None = None, lifetime: timedelta | None = None
) -> tuple[str, Key]:
    """A new key: its text, and the record to store in the key file.

    Args:
        name: of the key: 1 to 64 of A-Z a-z 0-9 . _ -
        scopes: what the key allows; at least one.
        images_per_minute: quota; None: no quota.
        lifetime: from now; None: the key does not expire.

    Raises:
        KeyFileError: the name or the quota is invalid.
    """
    key_id, now = secrets.token_hex(6), datetime.now(UTC).replace(microsecond=0)
    text = f"xray_{key_id}_{secrets.token_urlsafe(32)}"
    try:
        return text, Key(
            name=name,
            id=key_id,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            scopes=tuple(dict.fromkeys(scopes)),
            images_per_minute=images_per_minute,
            created_at=now,
            expires_at=now + lifetime if lifetime else None,
        )
    except ValidationError as error:
        raise KeyFileError(_first_error(error)) from None


def read_keys(path: Path) -> KeyFile:
    """Read a key file.

    Raises:
        KeyFileError: the file cannot be read, is not a valid key file, or may be written by every user of the machine.
    """
    try:
        _check_mode(path)
        return KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise KeyFileError(f"{path}: {_first_error(error)}") from None


def add_key(path: Path, key: Key) -> None:
    """Add a key to a key file, which is created if it does not exist.

    Raises:
        KeyFileError: a key with this name exists, or the file cannot be read or written.
    """
    path = _target(path)
    with _locked(path):
        keys = read_keys(path).keys if path.exists() else ()
        if any(existing.name == key.name for existing in keys):
            raise KeyFileError(f"a key named {key.name} exists: revoke it first, or use another name")
        _write(path, KeyFile(keys=(*keys, key)))


def revoke_key(path: Path, name: str) -> None:
    """Remove a key from a key file.

    Raises:
        KeyFileError: no key has this name, or the file cannot be read or written.
    """
    path = _target(path)
    with _locked(path):
        keys = read_keys(path).keys
        remaining = tuple(key for key in keys if key.name != name)
        if len(remaining) == len(keys):
            raise KeyFileError(f"there is no key named {name}")
        _write(path, KeyFile(keys=remaining))


def _check_mode(path: Path) -> None:
    """A user who may write the file, or replace it in its folder, could grant themselves any scope.

    A group that may write was chosen by the administrator (a umask of 002, or Kubernetes' fsGroup), so it is accepted.
    So is a read-only mount, such as a secret of compose: Docker Desktop shows all of its files as writable.

    Raises:
        KeyFileError: others may write.
        OSError: the file cannot be read.
    """
    target = _target(path)
    if os.name != "posix" or os.statvfs(target).f_flag & os.ST_RDONLY:
        return
    if target.stat().st_mode & stat.S_IWOTH:
        raise KeyFileError(f"{path}: every user of this machine may write it, and so create keys: chmod o-w {target}")
    folder = target.parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise KeyFileError(f"{path}: every user of this machine may replace it: chmod o-w {target.parent}")


def _target(path: Path) -> Path:
    """The file itself where the path is a link: a change must not replace the link, nor be made in its folder.

    Raises:
        KeyFileError: the links lead nowhere.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop
        raise KeyFileError(f"{path}: a loop of links") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Serialises changes: of two concurrent read-modify-write cycles, one would lose a key or restore a revoked one."""
    try:
        folder = os.open(path.absolute().parent, os.O_RDONLY)
    except OSError as error:
        raise KeyFileError(f"{path.absolute().parent}: {error.strerror}") from None
    try:
        lock(folder, waits=True)
        yield
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    finally:
        os.close(folder)


def _write(path: Path, keys: KeyFile) -> None:
    """Replace the file atomically; it keeps its owner, group and mode."""
    with replacing(path, mode=0o600) as file:
        file.write(keys.model_dump_json(indent=2).encode() + b"\n")
        if path.exists():
            before = path.stat()
            os.fchmod(file.fileno(), before.st_mode & 0o777)
            if (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)


def _first_error(error: ValidationError) -> str:
    where, words = first_error(error)
    return f"{where}: {words}" if where else words
