"""Prometheus metrics. They never contain pixels or a file name."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contract.bundle import LABELS
from service.telemetry.deferred import DeferredUpdates
from service.telemetry.drift import Bins
from service.telemetry.logs import DroppedLines
from service.telemetry.totals import Totals, replacements_counter
from service.telemetry.worker_table import WorkerTable
from service.wire import PredictResponse

# nginx's status for a client that disconnected before the response. Recorded only, never sent.
CLIENT_GONE = 499
# Path prefixes of the health checks.
HEALTH = ("/health", "/v2/health")

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
# Typical images score about 1; the threshold of a guard is a little higher.
_SCORES = (0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.75, 2, 2.5, 3, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_MODEL = ("name", "version", "graph", "provider", "device_requested")
_STAGES = ("decode", "queue", "inference")


class Metrics:
    """The metrics of one service, in its own registry. Further metrics may be added to it."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._exported: Collector = registry
        self._deferred = DeferredUpdates()
        registry.register(self._deferred)  # first, so that it is collected before what it updates
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        registry.register(DroppedLines())
        self._requests = Counter("xray_requests", "Completed requests.", ["route", "status"], registry=registry)
        self._request_s = Histogram(
            "xray_request_seconds", "Duration of a request.", ["route"], buckets=_SECONDS, registry=registry
        )
        self._predictions = Counter(
            "xray_predictions", "Images that got a label.", ["label", "operating_point"], registry=registry
        )
        self._failed = Counter(
            "xray_images_failed", "Failed images of requests with several images.", ["problem"], registry=registry
        )
        self._flagged = Counter(
            "xray_guard_flagged", "Images that the input guard flagged as unlike the training data.", registry=registry
        )
        self._guard_score = Histogram(
            "xray_guard_score", "Guard score: about 1 for a typical image.", buckets=_SCORES, registry=registry
        )
        self._audit_written = Counter("xray_audit_lines", "Audit lines written.", registry=registry)
        self._audit_lost = Counter("xray_audit_lost", "Audit lines that could not be written.", registry=registry)
        replacements_counter(registry)  # 0 here; with several workers the parent counts
        self._batches = Counter("xray_batches", "Model calls.", registry=registry)
        self._batch_size = Histogram("xray_batch_size", "Images per model call.", buckets=_IMAGES, registry=registry)
        self._inference_s = Histogram(
            "xray_inference_seconds", "Duration of a model call.", buckets=_SECONDS, registry=registry
        )
        stage_s = Histogram(
            "xray_stage_seconds",
            "Duration of a stage (decode, queue, inference) for one image.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = [stage_s.labels(stage) for stage in _STAGES]
        labels = ["feature", "bin"]
        self._drift = Counter(
            "xray_drift_images", "Images per bin of a feature such as brightness.", labels, registry=registry
        )
        text = "Fraction of the reference images in the bin."
        self._share = Gauge("xray_drift_reference_share", text, labels, registry=registry)
        self._binned: dict[str, tuple[Bins, list[Counter]]] = {}
        self._model_info = Gauge("xray_model_info", "Model, graph, execution provider.", _MODEL, registry=registry)
        self.swap_failed = Gauge("xray_model_swap_failed", "1 if replacing the model failed last.", registry=registry)

    def initialise_requests(self, routes: Iterable[str], statuses: Iterable[int], problems: Iterable[str]) -> None:
        """Start the request counters at 0: Prometheus sees no increase in a series that starts at 1."""
        expected = {200, CLIENT_GONE, *statuses}
        for route in routes:
            for status in expected:
                self._requests.labels(route, str(status))
        for problem in problems:
            self._failed.labels(problem)

    def initialise_images(self, operating_points: Iterable[str], bins: Mapping[str, Bins]) -> None:
        """Start the image counters at 0, and export the reference shares of the bins. Those of another model end."""
        self._deferred.apply()
        self._drift.clear()
        self._share.clear()
        self._binned = {}
        for point in operating_points:
            for label in LABELS:
                self._predictions.labels(label, point)
        for feature, feature_bins in bins.items():
            counters = [self._drift.labels(feature, name) for name in feature_bins.names]
            self._binned[feature] = feature_bins, counters
            for name, share in zip(feature_bins.names, feature_bins.shares or (), strict=False):
                self._share.labels(feature, name).set(share)

    def register_gauges(
        self,
        queue_depth: Callable[[], float],
        images_in_flight: Callable[[], float],
        capacity: Callable[[], float],
        ready: Callable[[], float],
    ) -> None:
        """Call these functions at each scrape.

        Args:
            queue_depth: images that wait for the model.
            images_in_flight: from admission to response.
            capacity: maximum images in flight.
            ready: 1 while requests are admitted, else 0.
        """
        for name, text, value in (
            ("xray_queue_depth", "Images waiting for the model.", queue_depth),
            ("xray_seats_taken", "Images in flight, from admission to response.", images_in_flight),
            ("xray_seats", "Capacity: maximum images in flight.", capacity),
            ("xray_ready", "1 while requests are admitted.", ready),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)

    def set_model_info(self, **labels: str) -> None:
        """Export the model, its graph and the execution provider that runs it, in place of an earlier one."""
        self._model_info.clear()
        self._model_info.labels(**labels).set(1)

    def register_audit_gauge(self, failing: Callable[[], float]) -> None:
        """Call this function at each scrape: it returns 1 while the audit log cannot be written, else 0."""
        text = "1 while the audit log cannot be written."
        Gauge("xray_audit_failing", text, registry=self.registry).set_function(failing)

    def audit_written(self, lines: int) -> None:
        """Count audit lines that are on disk."""
        self._audit_written.inc(lines)

    def audit_lost(self, lines: int) -> None:
        """Count audit lines that could not be written."""
        self._audit_lost.inc(lines)

    def request_answered(self, route: str, status: int, seconds: float) -> None:
        """Count a completed request."""
        self._deferred.add(partial(self._count_request, route, str(status), seconds))

    def _count_request(self, route: str, status: str, seconds: float) -> None:
        self._requests.labels(route, status).inc()
        self._request_s.labels(route).observe(seconds)

    def batch_done(self, size: int, seconds: float) -> None:
        """Count a model call."""
        self._deferred.add(partial(self._count_batch, size, seconds))

    def _count_batch(self, size: int, seconds: float) -> None:
        self._batches.inc()
        self._batch_size.observe(size)
        self._inference_s.observe(seconds)

    def image_analysed(self, decode_s: float, queue_s: float, inference_s: float) -> None:
        """Record the duration of each stage of an image."""
        self._deferred.add(partial(self._record_stages, decode_s, queue_s, inference_s))

    def _record_stages(self, decode_s: float, queue_s: float, inference_s: float) -> None:
        for stage, seconds in zip(self._stages, (decode_s, queue_s, inference_s), strict=True):
            stage.observe(seconds)

    def guard_scored(self, score: float, flagged: bool) -> None:
        """Record the guard score of an image. Infinity and NaN are left out: they would spoil the sum for good."""
        self._deferred.add(partial(self._count_score, score, flagged))

    def _count_score(self, score: float, flagged: bool) -> None:
        self._flagged.inc(flagged)
        if math.isfinite(score):
            self._guard_score.observe(score)

    def drift_observed(self, features: Mapping[str, float]) -> None:
        """Count an image in the bin of each of its features; features without bins are ignored."""
        self._deferred.add(partial(self._count_drift, features))

    def _count_drift(self, features: Mapping[str, float]) -> None:
        for feature, (bins, counters) in self._binned.items():
            if feature in features:
                counters[bins.find(features[feature])].inc()

    def images_answered(self, response: PredictResponse) -> None:
        """Count the labels of a response, and the problems of its failed images."""
        self._deferred.add(partial(self._count_images, response))

    def _count_images(self, response: PredictResponse) -> None:
        for prediction in response.predictions:
            if prediction.error:
                self._failed.labels(prediction.error.type).inc()
            else:
                self._predictions.labels(prediction.label, response.operating_point).inc()

    def collect(self) -> Iterable[Metric]:
        """All metrics; those of all workers if there are several."""
        return self._exported.collect()

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._exported)

    def aggregate(self, table: WorkerTable, worker: int) -> Totals:
        """Export the metrics of all workers in the table from now on.

        Args:
            table: shared by all workers.
            worker: the number of this worker.

        Returns:
            the collector, which must publish the metrics of this worker regularly.
        """
        self._exported = totals = Totals(self.registry, table, worker)
        return totals
