"""The file of keys: who may call, told by hashes. Keys themselves are shown once, when they are made, and kept nowhere.

A key has 256 bits from the system's generator, so its plain SHA-256 cannot be searched for; slow hashes are for
passwords, which people choose (NIST SP 800-63B, 5.1.1.2 and 5.1.2.2).
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

Scope = Literal["predict", "admin", "metrics"]
_KEY = re.compile(r"xray_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class KeyFileError(Exception):
    """The file cannot be used, or changed as asked; the message is one line that says why."""


class Key(BaseModel):
    """What is known of a key: not the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")] = Field(description="The key's own middle part.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(description="Of the whole key.")
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    images_per_minute: Annotated[int, Field(ge=1)] | None = Field(default=None, description="null: no quota.")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = Field(default=None, description="null: never.")

    def opens_with(self, text: str, now: datetime) -> bool:
        """Whether this text is the key, and it has not expired. How long that takes does not tell how near it came."""
        same = hmac.compare_digest(hashlib.sha256(text.encode()).hexdigest(), self.sha256)
        return same and (self.expires_at is None or now < self.expires_at)


class KeyFile(BaseModel):
    """All keys, as the file has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _each_is_one(self) -> Self:
        for names in ([key.name for key in self.keys], [key.id for key in self.keys]):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"{', '.join(sorted(twice))} stands there twice")
        return self

    def find(self, text: str) -> Key | None:
        """The key that this text is, if it is one."""
        shaped = _KEY.fullmatch(text)
        found = next((key for key in self.keys if shaped and key.id == shaped[1]), None)
        return found if found and found.opens_with(text, datetime.now(UTC)) else None


def make_key(
    name: str, scopes: Sequence[Scope], images_per_minute: int | None = None, lasts: timedelta | None = None
) -> tuple[str, Key]:
    """A new key: its text, and what is kept of it.

    Raises:
        KeyFileError: the name or a bound is not one.
    """
    ident, now = secrets.token_hex(6), datetime.now(UTC).replace(microsecond=0)
    text = f"xray_{ident}_{secrets.token_urlsafe(32)}"
    try:
        return text, Key(
            name=name,
            id=ident,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            scopes=tuple(dict.fromkeys(scopes)),
            images_per_minute=images_per_minute,
            created_at=now,
            expires_at=now + lasts if lasts else None,
        )
    except ValidationError as error:
        raise KeyFileError(_first(error)) from None


def read_keys(path: Path) -> KeyFile:
    """The keys of a file.

    Raises:
        KeyFileError: it cannot be read, or is not such a file.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise KeyFileError(f"{path}: {_first(error)}") from None


def add_key(path: Path, key: Key) -> None:
    """Put a key into a file, which is made if it is not there.

    Raises:
        KeyFileError: there is one of that name, or the file cannot be read or written.
    """
    with _changing(path):
        keys = read_keys(path).keys if path.exists() else ()
        if any(each.name == key.name for each in keys):
            raise KeyFileError(f"there is a key named {key.name}: revoke it first, or take another name")
        _write(path, KeyFile(keys=(*keys, key)))


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of a file.

    Raises:
        KeyFileError: there is none of that name, or the file cannot be read or written.
    """
    with _changing(path):
        keys = read_keys(path).keys
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            raise KeyFileError(f"there is no key named {name}")
        _write(path, KeyFile(keys=left))


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One change at a time: two that read the same file and wrote theirs would lose a key, or bring one back."""
    try:
        folder = os.open(path.absolute().parent, os.O_RDONLY)
    except OSError as error:
        raise KeyFileError(f"{path.absolute().parent}: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    finally:
        os.close(folder)


def _write(path: Path, keys: KeyFile) -> None:
    """The whole file or none of it, whoever reads meanwhile; with the owner, group and mode that it had."""
    with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(keys.model_dump_json(indent=2).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            if path.exists():
                before = path.stat()
                os.fchmod(file.fileno(), before.st_mode & 0o777)
                if (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"].removeprefix("Value error, ")
