"""The statistics extension: counts and durations of the protocol's inference requests, by model, since the start.

The counts are metrics (``xray_oip_...``), so that with several workers any of them answers for all. Requests of
``/predict`` are not among them. Durations are cumulative: seconds as metrics, nanoseconds in the protocol.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from service.oip.inspection_wire import BatchDurations, Duration, InferenceDurations, ModelStatistics
from service.telemetry.metrics import Metrics
from service.telemetry.record import RequestRecord

_LABELS = ["model", "version"]
_S_PER_MS, _NS_PER_S, _MS_PER_S = 1e-3, 1e9, 1e3


@dataclass(slots=True)
class _Counters:
    """The metrics of one model."""

    requests: dict[str, Counter]
    seconds: dict[str, Counter]
    images: Counter
    model_calls: Counter
    last: Gauge


class Statistics:
    """Counts inference requests by name and version of the model.

    Args:
        metrics: of the service; the counts become part of them.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics, registry = metrics, metrics.registry
        text = "Inference requests of the Open Inference Protocol."
        self._requests = Counter("xray_oip_requests", text, [*_LABELS, "outcome"], registry=registry)
        text = "Duration of these requests, whole (success, fail) and by stage."
        self._seconds = Counter("xray_oip_seconds", text, [*_LABELS, "stage"], registry=registry)
        self._images = Counter("xray_oip_images", "Images of these requests.", _LABELS, registry=registry)
        text = "Model calls for these requests: the shares of calls that had images of several."
        self._model_calls = Counter("xray_oip_model_calls", text, _LABELS, registry=registry)
        text = "Time of the last success, in seconds since 1970."
        self._last = Gauge("xray_oip_last_success_timestamp_seconds", text, _LABELS, registry=registry)
        self._counters: dict[tuple[str, str], _Counters] = {}

    @contextmanager
    def counting(self, name: str, version: str, record: RequestRecord) -> Iterator[None]:
        """Count the request that is handled within this context; its record has the stages when it ends."""
        counters, began = self._of(name, version), time.monotonic()
        try:
            yield
        except BaseException:
            counters.requests["fail"].inc()
            counters.seconds["fail"].inc(time.monotonic() - began)
            raise
        total = time.monotonic() - began
        stages = {"decode": record.decode_ms, "queue": record.queue_ms, "inference": record.inference_ms}
        known = 0.0
        for stage, ms in stages.items():
            counters.seconds[stage].inc(ms * _S_PER_MS)
            known += ms * _S_PER_MS
        counters.seconds["other"].inc(max(0.0, total - known))
        counters.seconds["success"].inc(total)
        counters.requests["success"].inc()
        counters.last.set(time.time())
        counters.images.inc(record.images)
        counters.model_calls.inc(record.images / max(record.batch_size, 1))

    def of(self, *models: tuple[str, str]) -> list[ModelStatistics]:
        """The statistics of models, each given by name and version; zeros for one that had no request."""
        found = {
            (sample.name, *(sample.labels.get(label, "") for label in (*_LABELS, "outcome", "stage"))): sample.value
            for metric in self._metrics.collect()
            if metric.name.startswith("xray_oip_")
            for sample in metric.samples
        }
        return [_statistics(name, version, found) for name, version in models]

    def _of(self, name: str, version: str) -> _Counters:
        if (name, version) not in self._counters:
            outcomes, stages = ("success", "fail"), ("success", "fail", "decode", "queue", "inference", "other")
            self._counters[name, version] = _Counters(
                {outcome: self._requests.labels(name, version, outcome) for outcome in outcomes},
                {stage: self._seconds.labels(name, version, stage) for stage in stages},
                self._images.labels(name, version),
                self._model_calls.labels(name, version),
                self._last.labels(name, version),
            )
        return self._counters[name, version]


def _statistics(name: str, version: str, found: dict[tuple[str, ...], float]) -> ModelStatistics:
    def value(metric: str, outcome: str = "", stage: str = "") -> float:
        return found.get((f"xray_oip_{metric}", name, version, outcome, stage), 0.0)

    def duration(stage: str) -> Duration:
        count = value("requests_total", "fail" if stage == "fail" else "success")
        return Duration(count=int(count), ns=round(value("seconds_total", stage=stage) * _NS_PER_S))

    return ModelStatistics(
        name=name,
        version=version,
        last_inference=int(value("last_success_timestamp_seconds") * _MS_PER_S),
        inference_count=int(value("images_total")),
        execution_count=round(value("model_calls_total")),
        inference_stats=InferenceDurations(
            success=duration("success"),
            fail=duration("fail"),
            queue=duration("queue"),
            compute_input=duration("decode"),
            compute_infer=duration("inference"),
            compute_output=duration("other"),
        ),
        batch_stats=list[BatchDurations](),
    )
