"""The address of a service, and the certificates to trust."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Server:
    """A service, and how to call it.

    Args:
        url: its base URL.
        operating_point: name; None: the default of the service.
        population: of the patients; None: the default of the service.
        key: API key; None: no ``Authorization`` header is sent.
        ca_file: certificate authorities to trust, PEM; None: those that the operating system trusts.
        timeout_s: longest time for one request, in seconds.
        give_up_after_s: longest time for which one request is retried, in seconds.
    """

    url: httpx.URL
    operating_point: str | None
    population: str | None
    key: str | None
    ca_file: Path | None
    timeout_s: float
    give_up_after_s: float


def server_url(text: str) -> httpx.URL:
    """Parse the base URL of a service; it may have a path, for a service behind a proxy.

    Raises:
        SettingsError: this is not the URL of a service.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise SettingsError("--url must be like http://HOST:PORT or https://HOST, without user name, query or fragment")
    return url


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A TLS context that trusts these certificate authorities (PEM); None: those that the operating system trusts.

    Raises:
        SettingsError: no certificates can be loaded from the file.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # includes SSLError, raised for a file without a certificate
        raise SettingsError(f"--ca-file: cannot load certificates from {ca_file}: {error.strerror}") from None
