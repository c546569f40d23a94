"""TLS certificates from files, reloaded when they change, so that a certificate is renewed without a restart."""

import logging
import ssl
import time
from pathlib import Path

from service.access.watch import Clock, Reloaded, WatchedFiles
from service.settings import Settings, SettingsError

# Seconds between two checks of the files.
CHECK_INTERVAL_S = 5.0

log = logging.getLogger(__name__)


class CertificateError(Exception):
    """A certificate or its key cannot be used; the message is one line with the reason."""


class Certificate:
    """A certificate and its private key in two files, and the TLS context that holds them.

    Two files do not change at the same instant. While certificate and key do not match, new connections get the old
    certificate, and the log reports it.

    Args:
        certificate: PEM, chain included.
        key: PEM, unencrypted.
        clock: monotonic clock, in seconds.

    Raises:
        SettingsError: the files cannot be used now.
    """

    def __init__(self, certificate: Path, key: Path, clock: Clock = time.monotonic) -> None:
        self._files = certificate, key
        self.context = _new_context()
        try:
            self._reloaded = Reloaded(
                WatchedFiles(*self._files, interval_s=CHECK_INTERVAL_S, clock=clock),
                self._load,
                faults=CertificateError,
                on_reload=lambda _: log.info("TLS certificate reloaded"),
                on_fault=_report,
            )
        except CertificateError as error:
            raise SettingsError(f"XRAY_TLS_CERTIFICATE, XRAY_TLS_KEY: {error}") from None

    def reload_if_changed(self) -> None:
        """Reload the files if they have changed. May be called often: it checks every ``CHECK_INTERVAL_S``."""
        self._reloaded.current()

    def _load(self) -> None:
        load_pair(_new_context(), *self._files)  # tried first: a mismatched pair would spoil the context in use
        load_pair(self.context, *self._files)


def load_certificate(settings: Settings) -> Certificate | None:
    """The TLS certificate that the settings name; None if they name none.

    Raises:
        SettingsError: the certificate cannot be used.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load a certificate and its private key into a context.

    Args:
        context: of either side of a connection.
        certificate: PEM, chain included.
        key: PEM, unencrypted.

    Raises:
        CertificateError: they cannot be used.
    """
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        reason = error.reason or "not PEM"
        raise CertificateError(f"not a PEM certificate with a matching, unencrypted PEM key ({reason})") from None
    except OSError as error:
        raise CertificateError(f"{error.filename or 'a file'}: {error.strerror}") from None


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _report(reason: str) -> None:
    log.error("cannot use the new TLS certificate: the old one stays in use", extra={"reason": reason})


def _no_password() -> str:
    """An empty password: otherwise OpenSSL would prompt for one, and the process would wait forever."""
    return ""
