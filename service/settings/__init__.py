"""Every setting of the service. Each is an environment variable ``XRAY_*`` and an option (docs/settings.md)."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contract.image import MAX_PIXELS
from contract.io.messages import first_error
from service.settings.dicom import DicomSettings
from service.settings.models import ModelSettings
from service.settings.network import MAX_S

# Above this number of pixels Pillow itself warns of a decompression bomb.
_PILLOW_WARNS_AT = 89_000_000
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "int8"]
GuardMode = Literal["warn", "refuse", "off"]
AuditMode = Literal["off", "on", "required"]
# Of the command-line client, not a setting of the service. There is no option for a key, because every user of a
# machine can read the command lines of all processes.
CLIENT_KEY_VARIABLE = "XRAY_CLIENT_KEY"


class SettingsError(Exception):
    """A setting that this bundle or this machine does not support. The message is one line that names the setting."""


class Settings(ModelSettings, DicomSettings):
    """The effective settings of one process: read once at start, then immutable."""

    model_config = SettingsConfigDict(env_prefix="XRAY_", frozen=True, extra="forbid")

    operating_point: str | None = Field(
        default=None, description="Operating point of requests that name none. Unset: the bundle's default."
    )
    population: str | None = Field(
        default=None, description="Population of requests that name none, such as adult. Unset: unknown."
    )
    device: Device = Field(
        default="auto", description="Where the model runs. auto: CUDA if it works, else CPU. cuda: fail without CUDA."
    )
    precision: Precision = Field(
        default="auto", description="Graph for the CPU. auto: the bundle's default. CUDA always runs float32."
    )
    guard: GuardMode = Field(
        default="warn", description="For an image unlike the training data. warn: a warning; refuse: 422; off: nothing."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        json_schema_extra={"unit": "processes"},
        description="Processes that serve the port. Threads, capacity and held bytes are divided among them.",
    )
    worker_timeout_s: float = Field(
        default=30,
        ge=2,
        le=MAX_S,
        json_schema_extra={"unit": "seconds"},
        description="Maximum silence of an event loop. Beyond it the process ends; a worker is replaced.",
    )
    start_s: float = Field(
        default=300,
        ge=1,
        le=MAX_S,
        json_schema_extra={"unit": "seconds"},
        description="Maximum time for loading the models at the start. Beyond it the process ends with exit code 1.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        json_schema_extra={"unit": "threads"},
        description="Threads per model call on a CPU. 0: automatic, 1 under load and up to 4 when idle.",
    )
    parallel_runs: int = Field(
        default=0,
        ge=0,
        le=256,
        json_schema_extra={"unit": "model calls"},
        description="Concurrent model calls on a CPU. 0: the usable CPUs divided by workers and threads.",
    )
    decode_threads: int = Field(
        default=0,
        ge=0,
        json_schema_extra={"unit": "threads"},
        description="Threads that decode and run the model. 0: the usable CPUs divided by the workers.",
    )
    tf32: bool = Field(
        default=False, description="Whether CUDA may round products to TF32: faster, but not the CPU's probabilities."
    )
    gpu_memory_bytes: int = Field(
        default=4 * 2**30,
        ge=256 * 2**20,
        json_schema_extra={"unit": "bytes"},
        description="Maximum GPU memory for one model. CUDA itself takes some in addition.",
    )
    max_batch: int = Field(
        default=0,
        ge=0,
        le=256,
        json_schema_extra={"unit": "images"},
        description="Maximum images in one model call. 0: 4 on a CPU, 64 on CUDA.",
    )
    capacity: int = Field(
        default=128, ge=1, json_schema_extra={"unit": "images"}, description="Maximum images in flight. Above it: 503."
    )
    max_images: int = Field(
        default=64, ge=1, json_schema_extra={"unit": "images"}, description="Maximum images in one request."
    )
    max_body_bytes: int = Field(
        default=64 * 2**20,
        ge=1,
        json_schema_extra={"unit": "bytes"},
        description="Maximum size of a request body. Above it: 413.",
    )
    max_held_bytes: int = Field(
        default=256 * 2**20,
        ge=1,
        json_schema_extra={"unit": "bytes"},
        description="Maximum bytes of request bodies in flight, over all requests. Above it: 503.",
    )
    max_pixels: int = Field(
        default=MAX_PIXELS,
        ge=1,
        le=_PILLOW_WARNS_AT,
        json_schema_extra={"unit": "pixels"},
        description="Maximum pixels of one image. Above it: 422.",
    )
    max_decoded_bytes: int = Field(
        default=400 * 2**20,
        ge=64 * 2**20,
        json_schema_extra={"unit": "bytes"},
        description="Maximum memory for decoding large images, over all requests. Others wait; one above it: 422.",
    )
    deadline_s: float = Field(
        default=10,
        gt=0,
        le=MAX_S,
        json_schema_extra={"unit": "seconds"},
        description="Maximum time from the last byte of a request to its response. Above it: 504.",
    )
    upload_s: float = Field(
        default=30,
        gt=0,
        le=MAX_S,
        json_schema_extra={"unit": "seconds"},
        description="Maximum time for a request body to arrive. Above it: 408.",
    )
    drain_s: float = Field(
        default=0.5,
        ge=0,
        le=MAX_S,
        json_schema_extra={"unit": "seconds"},
        description="After SIGTERM: time during which health checks get 503 before the port closes.",
    )
    audit: AuditMode = Field(
        default="off", description="Audit mode. on: best effort. required: no result without its line in the audit log."
    )
    audit_folder: Path | None = Field(default=None, description="Folder of the audit log. It must exist.")
    audit_max_bytes: int = Field(
        default=64 * 2**20,
        ge=1,
        json_schema_extra={"unit": "bytes"},
        description="Size after which the audit log starts a new file.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum severity of log lines."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="Format of log lines. auto: text if stderr is a terminal, else JSON."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_empty(cls, value: object, info: ValidationInfo) -> object:
        """An empty path would be the working directory."""
        if value == "" and cls.model_fields[str(info.field_name)].annotation in (Path, Path | None):
            raise ValueError("it is empty: give a path, or leave it unset")
        return value

    @model_validator(mode="after")
    def _audit_has_a_folder(self) -> Self:
        if self.audit != "off" and self.audit_folder is None:
            raise ValueError(f"XRAY_AUDIT={self.audit} requires XRAY_AUDIT_FOLDER")
        return self

    @model_validator(mode="after")
    def _model_control_has_one_process(self) -> Self:
        if self.workers > 1 and self.model_control:
            raise ValueError("XRAY_MODEL_CONTROL requires XRAY_WORKERS=1: a request reaches one worker only")
        return self

    @model_validator(mode="after")
    def _int8_is_for_the_cpu(self) -> Self:
        if self.precision == "int8" and self.device == "cuda":
            raise ValueError("XRAY_PRECISION=int8 is for the CPU only: it cannot be combined with XRAY_DEVICE=cuda")
        return self

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        if self.max_images > self.capacity:
            raise ValueError(f"XRAY_MAX_IMAGES ({self.max_images}) must not exceed XRAY_CAPACITY ({self.capacity})")
        if (body := self.max_body_bytes) > (held := self.max_held_bytes):
            raise ValueError(f"XRAY_MAX_BODY_BYTES ({body}) must not exceed XRAY_MAX_HELD_BYTES ({held})")
        return self


def explain(error: ValidationError) -> str:
    """One line that names the first wrong setting and says why it is wrong."""
    where, words = first_error(error)
    return f"XRAY_{where.upper()}: {words}" if where else words
