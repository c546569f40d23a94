"""The settings of the network: where the service listens, who may call, and what a connection may cost."""

import ipaddress
import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
# Of paths, under which a proxy publishes the service.
PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")
# As SiteCheck compares them: without a port, IPv6 in brackets.
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
# Seconds. The largest value of any setting in seconds: a day. Timers of the kernel take no infinity.
MAX_S = 86_400


def listed(value: str | None) -> list[str]:
    """The items of a comma-separated list, stripped; empty items are dropped."""
    return [part for part in map(str.strip, (value or "").split(",")) if part]


class NetworkSettings(BaseSettings):
    """The part of the settings that concerns connections and callers."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port to listen on. 0: any free port.")
    published_on: str | None = Field(
        default=None, description="Address at which clients reach the service, if another (in a container)."
    )
    keys_file: Path | None = Field(default=None, description="File of API keys. Unset: no keys are required.")
    allow_anonymous: bool = Field(
        default=False, description="Whether everybody who can reach the service may analyse images without a key."
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file, chain included. Set: HTTPS in place of HTTP."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key, unencrypted.")
    allowed_hosts: str | None = Field(
        default=None, description="Accepted names in the Host header, comma-separated. Unset: any."
    )
    cors_origins: str | None = Field(
        default=None, description="Origins whose pages may call the API (CORS), comma-separated. Unset: none."
    )
    root_path: str = Field(
        default="", description="Path prefix under which a proxy publishes the service, like /xray. Empty: none."
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="Addresses or networks (CIDR) of proxies whose X-Forwarded-Prefix and X-Forwarded-User are used, "
        "comma-separated. Unset: none.",
    )
    max_connections: int = Field(
        default=2048,
        ge=1,
        json_schema_extra={"unit": "connections"},
        description="Maximum open connections, TLS handshakes in progress included. Further ones are closed at once, "
        "with a line in the log.",
    )
    keep_alive_s: float = Field(
        default=75,
        gt=0,
        le=MAX_S,
        json_schema_extra={"unit": "seconds"},
        description="Maximum idle time of a connection between two requests.",
    )
    header_s: float = Field(
        default=10,
        gt=0,
        le=MAX_S,
        json_schema_extra={"unit": "seconds"},
        description="Maximum time for the header of a request to arrive; beyond it: 408.",
    )

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, value: str | None) -> str | None:
        for host in listed(value):
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host name: use names or addresses without port, IPv6 like [::1]")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str | None) -> str | None:
        for origin in listed(value):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin: use scheme://host or scheme://host:port, no path")
        return value

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not PREFIX.fullmatch(value):
            raise ValueError(f"{value!r} is not a path prefix: use /name or /name/name, without a slash at the end")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str | None) -> str | None:
        for network in listed(value):
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is not an address or a network, like 10.1.2.3 or 10.1.0.0/16") from None
        return value

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("XRAY_TLS_CERTIFICATE and XRAY_TLS_KEY must be set together")
        return self
