"""Certificates, keys and passwords from files, read again when they change: a renewed one needs no restart."""

import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from node.config import ConfigError, Tls
from service.access.tls import CHECK_INTERVAL_S, CertificateError, load_pair
from service.access.watch import Reloaded, WatchedFiles

log = logging.getLogger(__name__)
T = TypeVar("T")


class Credentials(Reloaded[T]):
    """What a part of the node reads from its files. While changed files cannot be used, what was read before stays in
    use, and the log says so once.

    Args:
        owner: the part, for messages: ``scp.tls``.
        files: those that the configuration names; None: it names none.
        read: reads them; raises ``ConfigError`` with the reason.

    Raises:
        ConfigError: they cannot be used now.
    """

    def __init__(self, owner: str, files: Iterable[Path | None], read: Callable[[], T]) -> None:
        def checked() -> T:
            try:
                return read()
            except ConfigError as error:
                raise ConfigError(f"{owner}: {error}") from None

        super().__init__(
            WatchedFiles(*filter(None, files), interval_s=CHECK_INTERVAL_S),
            checked,
            faults=ConfigError,
            on_reload=lambda _: log.info("%s: the changed files are in use", owner),
            on_fault=lambda reason: log.error("%s; what was read before stays in use", reason),
        )


def server_tls(owner: str, section: Tls | None) -> Credentials[ssl.SSLContext | None]:
    """The TLS context of the DICOM server, whose section has a certificate; None: no TLS.

    Raises:
        ConfigError: the files cannot be used now.
    """

    def read() -> ssl.SSLContext | None:
        context = _context(ssl.Purpose.CLIENT_AUTH, section) if section else None
        if context and section and section.ca_file:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    return Credentials(owner, _files(section), read)


def client_tls(owner: str, section: Tls | None) -> Credentials[ssl.SSLContext | None]:
    """The TLS context for a destination; None: no TLS.

    Raises:
        ConfigError: the files cannot be used now.
    """
    return Credentials(owner, _files(section), lambda: client_context(section) if section else None)


def client_context(section: Tls) -> ssl.SSLContext:
    """The TLS context for a destination, as its files are now.

    Raises:
        ConfigError: the files cannot be used.
    """
    return _context(ssl.Purpose.SERVER_AUTH, section)


def secret(path: Path | None) -> str:
    """A password or token; empty if no file is named.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read") from None


def _files(section: Tls | None) -> list[Path | None]:
    return [section.certificate, section.key, section.ca_file] if section else []


def _context(purpose: ssl.Purpose, section: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(purpose, cafile=section.ca_file)
    except ssl.SSLError:
        raise ConfigError(f"the certificates cannot be loaded: {section.ca_file} holds no PEM certificate") from None
    except OSError as error:
        raise ConfigError(f"the certificates cannot be loaded: {section.ca_file}: {error.strerror}") from None
    try:
        if section.certificate and section.key:
            load_pair(context, section.certificate, section.key)
    except CertificateError as error:
        raise ConfigError(f"the certificates cannot be loaded: {error}") from None
    return context
