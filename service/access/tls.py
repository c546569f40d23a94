"""TLS certificates from files, reloaded when they change, so that a certificate is renewed without a restart."""

import logging
import ssl
import time
from pathlib import Path

from service.access.watch import Clock, WatchedFiles
from service.settings import Settings, SettingsError

# Seconds between two checks of the files.
CHECK_INTERVAL_S = 5.0

log = logging.getLogger(__name__)


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
        self._files = (certificate, key)
        self._watched = WatchedFiles(*self._files, interval_s=CHECK_INTERVAL_S, clock=clock)
        try:
            self.context = self._load()
        except OSError as error:  # includes ssl.SSLError
            raise SettingsError(f"XRAY_TLS_CERTIFICATE, XRAY_TLS_KEY: {_reason(error)}") from None

    def reload_if_changed(self) -> None:
        """Reload the files if they have changed. May be called often: it checks every ``CHECK_INTERVAL_S``."""
        if not self._watched.changed():
            return
        try:
            self._load()  # tried in a separate context first: a mismatched pair would spoil the one in use
            self.context.load_cert_chain(*self._files, password=_no_password)
        except OSError as error:
            if self._watched.note(reason := _reason(error)):
                log.error("cannot use the new TLS certificate: the old one stays in use", extra={"reason": reason})
        else:
            self._watched.note(None)
            log.info("TLS certificate reloaded")

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files, password=_no_password)
        return context


def load_certificate(settings: Settings) -> Certificate | None:
    """The TLS certificate that the settings name; None if they name none.

    Raises:
        SettingsError: the certificate cannot be used.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


def _no_password() -> str:
    """An empty password: otherwise OpenSSL would prompt for one, and the service would wait forever."""
    return ""


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not a PEM certificate with a matching, unencrypted PEM key ({error.reason or 'not PEM'})"
    return f"{error.filename or 'a file'}: {error.strerror}"
