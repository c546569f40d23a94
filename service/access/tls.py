"""TLS from files: read again when they change, so that a certificate is renewed without a restart."""

import logging
import ssl
import time
from pathlib import Path

from service.access.watch import Clock, Watched
from service.settings import Settings, SettingsError

LOOK_EVERY_S = 5.0

log = logging.getLogger(__name__)


class Certificate:
    """A certificate and its key in two files, and the TLS context that has them.

    Two files do not change at once. A pair that does not fit is left alone until it does; new connections have the old
    one meanwhile, and the log says so.

    Args:
        certificate: PEM, chain included.
        key: PEM, unencrypted.
        clock: seconds that only go up.

    Raises:
        SettingsError: they cannot be used now.
    """

    def __init__(self, certificate: Path, key: Path, clock: Clock = time.monotonic) -> None:
        self._files = (certificate, key)
        self._watched = Watched(*self._files, every_s=LOOK_EVERY_S, clock=clock)
        try:
            self.context = self._load()
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(f"XRAY_TLS_CERTIFICATE, XRAY_TLS_KEY: {_reason(error)}") from None

    def look(self) -> None:
        """Take up what has changed. Called often; looks now and then."""
        if not self._watched.changed():
            return
        try:
            self._load()  # into a context of its own, since one that was given half a pair would have lost the old one
            self.context.load_cert_chain(*self._files, password=_no_password)
        except OSError as error:
            log.error("the new certificate cannot be used: the old one stays", extra={"reason": _reason(error)})
        else:
            log.info("the certificate was read again")

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files, password=_no_password)
        return context


def certificate_of(settings: Settings) -> Certificate | None:
    """The certificate that the settings name, if they do.

    Raises:
        SettingsError: it cannot be used.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


def _no_password() -> str:
    """Else OpenSSL would ask for one at a terminal, and a service would wait for ever."""
    return ""


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no certificate with a key that fits it, in PEM, unencrypted ({error.reason or 'not PEM'})"
    return f"{error.filename or 'a file'}: {error.strerror}"
