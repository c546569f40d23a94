"""The configuration file: TOML, validated."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints, ValidationError, model_validator

from contract.io.messages import first_error

AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[\x20-\x5b\x5d-\x7e]+$")
]
Port = Annotated[int, Field(ge=0, le=65535)]
ResultKind = Literal["sr", "heatmap"]
RESULTS: tuple[ResultKind, ...] = ("sr", "heatmap")

CR_IMAGE = "1.2.840.10008.5.1.4.1.1.1"
DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


class ConfigError(Exception):
    """The configuration cannot be used. The message is one line that names the entry and the reason."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Section):
    """Certificates of one side of a TLS connection, as PEM files.

    For the node as a server, ``certificate`` and ``key`` are required, and ``ca_file`` makes client certificates
    mandatory. For a destination, ``ca_file`` replaces the certificate authorities of the operating system.
    """

    certificate: Path | None = None
    key: Path | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> "Tls":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are given together")
        return self


class Scp(_Section):
    """The DICOM server: C-ECHO and C-STORE."""

    address: str = "0.0.0.0"  # noqa: S104  modalities and the PACS are other machines
    port: Port = 11112
    ae_titles: list[AeTitle] = Field(default=["XRAYNODE"], min_length=1)
    calling_ae_titles: list[AeTitle] = Field(min_length=1)
    max_associations: int = Field(default=64, ge=1, le=1000)
    max_pdu_bytes: int = Field(default=131_072, ge=4096, le=1_048_576)
    max_object_bytes: int = Field(default=134_217_728, ge=65_536)
    idle_s: float = Field(default=60, gt=0, le=3600)
    secondary_capture: bool = True
    tls: Tls | None = None

    @model_validator(mode="after")
    def _server_certificate(self) -> "Scp":
        if self.tls and self.tls.certificate is None:
            raise ValueError("tls: a server needs certificate and key")
        return self


class SpoolSection(_Section):
    """Where objects and results are kept, and for how long."""

    folder: Path
    max_bytes: int = Field(default=20_000_000_000, ge=1_000_000)
    min_free_bytes: int = Field(default=500_000_000, ge=0)
    max_age_h: float = Field(default=72, gt=0)
    dead_letters_h: float = Field(default=720, gt=0)
    remember_h: float = Field(default=24 * 400, gt=0)

    @model_validator(mode="after")
    def _remember_what_may_be_there(self) -> "SpoolSection":
        if self.remember_h < self.max_age_h + self.dead_letters_h:
            raise ValueError("remember_h must be at least max_age_h + dead_letters_h")
        return self


class ServiceSection(_Section):
    """The inference service."""

    url: HttpUrl
    key_file: Path | None = None
    ca_file: Path | None = None
    operating_point: str | None = None
    population: str | None = None
    timeout_s: float = Field(default=60, gt=0, le=3600)
    retry_s: float = Field(default=60, gt=0, le=3600)
    parallel: int = Field(default=2, ge=1, le=64)
    attempts: int = Field(default=5, ge=1)


class _Destination(_Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    results: list[ResultKind] = Field(default=list(RESULTS), min_length=1)
    timeout_s: float = Field(default=30, gt=0, le=3600)


class CStore(_Destination):
    """A destination that takes results by C-STORE."""

    type: Literal["c-store"]
    address: str
    port: Port
    ae_title: AeTitle
    calling_ae_title: AeTitle = "XRAYNODE"
    tls: Tls | None = None


class Stow(_Destination):
    """A destination that takes results by STOW-RS. ``url``: of the DICOMweb service, without ``/studies``."""

    type: Literal["stow-rs"]
    url: HttpUrl
    ca_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    token_file: Path | None = None


class Http(_Section):
    """The port of metrics and health."""

    address: str = "127.0.0.1"
    port: Port = 9113


class Config(_Section):
    """The whole configuration."""

    scp: Scp
    spool: SpoolSection
    service: ServiceSection
    destinations: list[Annotated[CStore | Stow, Field(discriminator="type")]] = Field(min_length=1)
    http: Http = Http()
    drain_s: float = Field(default=20, ge=0, le=600)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Config":
        names = [destination.name for destination in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError("destinations: two have the same name")
        return self


def read_config(path: Path) -> Config:
    """Read the configuration file. Relative paths in it are relative to its folder.

    Raises:
        ConfigError: it cannot be read, is not TOML, or an entry is wrong.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    try:
        config = Config.model_validate(entries)
    except ValidationError as error:
        entry, words = first_error(error)
        raise ConfigError(f"{path}: {f'{entry}: ' if entry else ''}{words}") from None
    config = _absolute(config, path.resolve().parent)
    for named in _files(config):
        if not named.is_file():
            raise ConfigError(f"{path}: {named} does not exist or is not a file")
    return config


def _absolute(section: Config, folder: Path) -> Config:
    return Config.model_validate(_with_folder(section.model_dump(exclude_unset=True), folder))


def _with_folder(value: object, folder: Path) -> object:
    if isinstance(value, dict):
        return {name: _with_folder(entry, folder) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_folder(entry, folder) for entry in value]
    return folder / value if isinstance(value, Path) else value


def _files(section: BaseModel) -> list[Path]:
    """Every file that is named, in this section and those within; ``folder`` is not one."""
    found: list[Path] = []
    for name, value in section:
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, Path) and name != "folder":
                found.append(entry)
            elif isinstance(entry, BaseModel):
                found += _files(entry)
    return found
