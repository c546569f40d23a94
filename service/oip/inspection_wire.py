"""The objects of Triton's model configuration and statistics extensions."""

from typing import Literal

from pydantic import Field

from service.oip.wire import Oip


class Duration(Oip):
    """A number of events, and how long they took in all, in nanoseconds."""

    count: int
    ns: int


class InferenceDurations(Oip):
    """Where the time of inference requests went: whole requests, then their stages (decoding is `compute_input`)."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class BatchDurations(Oip):
    """Durations by size of batch. None are kept: `/metrics` has them."""

    batch_size: int


class ModelStatistics(Oip):
    """Statistics of one model."""

    name: str
    version: str
    last_inference: int = Field(description="Unix time in milliseconds; 0: none yet.")
    inference_count: int = Field(description="Images.")
    execution_count: int = Field(description="Model calls.")
    inference_stats: InferenceDurations
    batch_stats: list[BatchDurations]


class StatisticsResponse(Oip):
    """Statistics of models."""

    model_stats: list[ModelStatistics]


class ConfigInput(Oip):
    """An input in Triton's configuration; `dims` without the batch."""

    name: str
    data_type: str
    format: Literal["FORMAT_NONE", "FORMAT_NHWC"]
    dims: list[int]
    optional: bool


class ConfigOutput(Oip):
    """An output in Triton's configuration; `dims` without the batch."""

    name: str
    data_type: str
    dims: list[int]


class TransactionPolicy(Oip):
    """One response for each request."""

    decoupled: bool = False


class ModelConfig(Oip):
    """Triton's configuration of a model, as far as clients use it."""

    name: str
    platform: str = "onnxruntime_onnx"
    backend: str = "onnxruntime"
    max_batch_size: int = Field(description="Most images of one request.")
    input: list[ConfigInput]
    output: list[ConfigOutput]
    model_transaction_policy: TransactionPolicy = TransactionPolicy()
