"""Which service is asked, and how it is known to be that one."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Server:
    """Which service is asked, and how. ``ca_file``: PEM; None: the authorities that this system trusts."""

    url: httpx.URL
    operating_point: str | None
    key: str | None
    ca_file: Path | None
    timeout_s: float
    give_up_after_s: float


def server_url(text: str) -> httpx.URL:
    """The address of a service, checked; it may have a path, where a proxy puts the service below one.

    Raises:
        SettingsError: it is none.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise SettingsError("--url: give http://HOST:PORT or https://HOST, without a name, key or query")
    return url


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """What certificates are believed.

    Raises:
        SettingsError: the file of authorities cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # an SSLError, which one without a certificate gives, is one
        raise SettingsError(f"--ca-file: {ca_file} holds no certificates that can be read: {error.strerror}") from None
