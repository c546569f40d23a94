"""Every setting of the service: each is an environment variable ``XRAY_*`` and an option (docs/settings.md)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.bundle import NAME_PATTERN, VERSION_PATTERN
from contract.image import MAX_PIXELS

# Above this Pillow warns of a decompression bomb by itself, in its own words.
_PILLOW_WARNS_AT = 89_000_000
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "int8"]
GuardMode = Literal["warn", "refuse", "off"]
AuditMode = Literal["off", "on", "required"]
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
# Of the command-line client, not a setting of the service. There is no option for a key: every user of a machine can
# read the command lines of all processes.
CLIENT_KEY_VARIABLE = "XRAY_CLIENT_KEY"
_BUNDLED_MODEL = Path(__file__).parent.parent / "models" / "pneumonia" / "2"


class SettingsError(Exception):
    """A setting that this bundle, or this machine, cannot do; the message is one line that names it."""


class Settings(BaseSettings):
    """The effective settings of one process. Read once, at start, never changed."""

    model_config = SettingsConfigDict(env_prefix="XRAY_", frozen=True, extra="forbid")

    model: Path = Field(default=_BUNDLED_MODEL, description="Folder of the model bundle.")
    repository: Path | None = Field(
        default=None,
        description="Folder that has other models at NAME/VERSION. Unset: the one that the served bundle lies in so.",
    )
    load: str | None = Field(
        default=None,
        description="Models beside the served one, NAME/VERSION with commas between, loaded from there at start.",
    )
    model_control: bool = Field(
        default=False, description="Whether a key with the scope admin may load and unload models."
    )
    operating_point: str | None = Field(
        default=None, description="Operating point where a request names none. Unset: the bundle's own choice."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    published_on: str | None = Field(
        default=None, description="Address where others reach it, if that is not the one it listens on: a container's."
    )
    keys_file: Path | None = Field(default=None, description="File of API keys. Unset: no keys are asked for.")
    allow_anonymous: bool = Field(
        default=False, description="Whether everybody who reaches the service may have images read without a key."
    )
    tls_certificate: Path | None = Field(default=None, description="PEM file, chain included: HTTPS instead of HTTP.")
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key, unencrypted.")
    allowed_hosts: str | None = Field(
        default=None, description="Names that requests may be addressed to, with commas between. Unset: any."
    )
    cors_origins: str | None = Field(
        default=None, description="Origins whose pages may call from a browser, with commas between. Unset: none."
    )
    device: Device = Field(
        default="auto", description="Where the model runs. auto: CUDA if it works, else CPU. cuda: CUDA or no start."
    )
    precision: Precision = Field(
        default="auto", description="Which graph a CPU runs. auto: the bundle's choice. CUDA runs float32, always."
    )
    guard: GuardMode = Field(
        default="warn", description="What happens to an image unlike the training data: a warning, a 422, or nothing."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        json_schema_extra={"unit": "processes"},
        description="Processes that serve the port; threads, capacity and held bytes are divided among them.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        json_schema_extra={"unit": "threads"},
        description="Threads of one model call on a CPU. 0: 1, up to 4 while nothing else is to be done.",
    )
    parallel_runs: int = Field(
        default=0,
        ge=0,
        le=256,
        json_schema_extra={"unit": "model calls"},
        description="Model calls side by side on a CPU. 0: the CPUs it may use, divided by workers and threads.",
    )
    decode_threads: int = Field(
        default=0,
        ge=0,
        json_schema_extra={"unit": "threads"},
        description="Threads that decode and run the model. 0: the CPUs it may use, divided by the workers.",
    )
    tf32: bool = Field(
        default=False, description="Whether CUDA may round products to TF32: faster, and not the CPU's probabilities."
    )
    gpu_memory_bytes: int = Field(
        default=4 * 2**30,
        ge=256 * 2**20,
        json_schema_extra={"unit": "bytes"},
        description="Most bytes of a GPU for one model; CUDA itself takes some beside them.",
    )
    max_batch: int = Field(
        default=0,
        ge=0,
        le=256,
        json_schema_extra={"unit": "images"},
        description="Most images in one model call. 0: 4 on a CPU, 64 on CUDA.",
    )
    capacity: int = Field(
        default=128, ge=1, json_schema_extra={"unit": "images"}, description="Images inside at once; beyond it: 503."
    )
    max_images: int = Field(
        default=64, ge=1, json_schema_extra={"unit": "images"}, description="Most images in one request."
    )
    max_body_bytes: int = Field(
        default=64 * 2**20,
        ge=1,
        json_schema_extra={"unit": "bytes"},
        description="Most bytes of a request's body; beyond it: 413.",
    )
    max_held_bytes: int = Field(
        default=256 * 2**20,
        ge=1,
        json_schema_extra={"unit": "bytes"},
        description="Most bytes of bodies inside at once, all requests; beyond it: 503.",
    )
    max_pixels: int = Field(
        default=MAX_PIXELS,
        ge=1,
        le=_PILLOW_WARNS_AT,
        json_schema_extra={"unit": "pixels"},
        description="Most pixels of one image; beyond it: 422.",
    )
    deadline_s: float = Field(
        default=10,
        gt=0,
        json_schema_extra={"unit": "seconds"},
        description="Longest from the last byte of a request to its answer; beyond it: 504.",
    )
    upload_s: float = Field(
        default=30,
        gt=0,
        json_schema_extra={"unit": "seconds"},
        description="Longest a request's body may take to arrive; beyond it: 408.",
    )
    drain_s: float = Field(
        default=0.5,
        ge=0,
        json_schema_extra={"unit": "seconds"},
        description="After SIGTERM: how long health checks may see 503 before the port closes.",
    )
    audit: AuditMode = Field(
        default="off", description="Whether it is kept what was answered; required: nothing is answered that is not."
    )
    audit_folder: Path | None = Field(default=None, description="Folder of the audit. It has to be there.")
    audit_max_bytes: int = Field(
        default=64 * 2**20,
        ge=1,
        json_schema_extra={"unit": "bytes"},
        description="Bytes after which a file of the audit is followed by a new one.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log line."
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str | None) -> str | None:
        for origin in listed(value):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: scheme://host, with :port if it has one, and nothing more")
        return value

    @field_validator("load")
    @classmethod
    def _models(cls, value: str | None) -> str | None:
        for model in listed(value):
            name, _, version = model.partition("/")
            if not (re.fullmatch(NAME_PATTERN, name) and re.fullmatch(VERSION_PATTERN, version)):
                raise ValueError(f"{model!r} is no model: NAME/VERSION, like pneumonia/1")
        return value

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("XRAY_TLS_CERTIFICATE and XRAY_TLS_KEY go together")
        return self

    @model_validator(mode="after")
    def _audit_has_a_folder(self) -> Self:
        if self.audit != "off" and self.audit_folder is None:
            raise ValueError(f"XRAY_AUDIT={self.audit} needs XRAY_AUDIT_FOLDER")
        return self

    @model_validator(mode="after")
    def _models_come_and_go_in_one_process(self) -> Self:
        if self.workers > 1 and self.model_control:
            raise ValueError("XRAY_MODEL_CONTROL needs XRAY_WORKERS=1: a call would load a model in one of them only")
        return self

    @model_validator(mode="after")
    def _int8_is_for_the_cpu(self) -> Self:
        if self.precision == "int8" and self.device == "cuda":
            raise ValueError("XRAY_PRECISION=int8 is for the CPU: not with XRAY_DEVICE=cuda")
        return self

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        if self.max_images > self.capacity:
            raise ValueError(f"XRAY_MAX_IMAGES ({self.max_images}) is over XRAY_CAPACITY ({self.capacity})")
        if self.max_body_bytes > self.max_held_bytes:
            raise ValueError(
                f"XRAY_MAX_BODY_BYTES ({self.max_body_bytes}) is over XRAY_MAX_HELD_BYTES ({self.max_held_bytes})"
            )
        return self


def listed(value: str | None) -> list[str]:
    """What stands between the commas."""
    return [part for part in map(str.strip, (value or "").split(",")) if part]


def settings_from(options: Mapping[str, object]) -> Settings:
    """The effective settings: these options over the environment over the defaults.

    Raises:
        ValidationError: one of them is wrong; ``explain`` says which.
    """
    return Settings(**cast(Any, options))


def explain(error: ValidationError) -> str:
    """One line naming the first wrong setting, and why it is wrong."""
    first = error.errors(include_url=False)[0]
    name = f"XRAY_{str(first['loc'][0]).upper()}: " if first["loc"] else ""
    return f"{name}{first['msg'].removeprefix('Value error, ')}"
