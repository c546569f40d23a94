"""The statistics extension: what became of the protocol's inference requests, by model, since the process started.

Requests of ``/predict`` are in ``/metrics``, not here. Durations are cumulative, in nanoseconds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.oip.inspection_wire import BatchDurations, Duration, InferenceDurations, ModelStatistics
from service.telemetry.metrics import RequestRecord

_NS_PER_MS = 1e6


@dataclass(slots=True)
class _Counter:
    count: int = 0
    ns: int = 0

    def add(self, ns: float, count: int = 1) -> None:
        self.count += count
        self.ns += int(ns)

    def duration(self) -> Duration:
        return Duration(count=self.count, ns=self.ns)


@dataclass(slots=True)
class _Counters:
    last_inference_ms: int = 0
    images: int = 0
    model_calls: float = 0
    success: _Counter = field(default_factory=_Counter)
    fail: _Counter = field(default_factory=_Counter)
    queue: _Counter = field(default_factory=_Counter)
    decode: _Counter = field(default_factory=_Counter)
    inference: _Counter = field(default_factory=_Counter)
    output: _Counter = field(default_factory=_Counter)


class Statistics:
    """Counts inference requests by name and version of the model."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], _Counters] = {}

    @contextmanager
    def counting(self, name: str, version: str, record: RequestRecord) -> Iterator[None]:
        """Count the request that is handled within this context; its record has the stages when it ends."""
        counters = self._counters.setdefault((name, version), _Counters())
        began = time.monotonic_ns()
        try:
            yield
        except BaseException:
            counters.fail.add(time.monotonic_ns() - began)
            raise
        total = time.monotonic_ns() - began
        stages = ((counters.decode, record.decode_ms), (counters.queue, record.queue_ms))
        for counter, ms in (*stages, (counters.inference, record.inference_ms)):
            counter.add(ms * _NS_PER_MS)
        known = (record.decode_ms + record.queue_ms + record.inference_ms) * _NS_PER_MS
        counters.output.add(max(0, total - known))
        counters.success.add(total)
        counters.last_inference_ms = int(1000 * time.time())
        counters.images += record.images
        counters.model_calls += record.images / max(record.batch_size, 1)

    def of(self, name: str, version: str) -> ModelStatistics:
        """The statistics of one model; zeros if it had no request."""
        found = self._counters.get((name, version)) or _Counters()
        stages = InferenceDurations(
            success=found.success.duration(),
            fail=found.fail.duration(),
            queue=found.queue.duration(),
            compute_input=found.decode.duration(),
            compute_infer=found.inference.duration(),
            compute_output=found.output.duration(),
        )
        return ModelStatistics(
            name=name,
            version=version,
            last_inference=found.last_inference_ms,
            inference_count=found.images,
            execution_count=round(found.model_calls),
            inference_stats=stages,
            batch_stats=list[BatchDurations](),
        )
