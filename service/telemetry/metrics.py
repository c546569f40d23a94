"""What an administrator sees: Prometheus metrics, one log line a request. Never a pixel, never a file name."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

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
from prometheus_client.registry import Collector

from contract.bundle import LABELS
from service.telemetry.drift import Bins
from service.telemetry.totals import Totals
from service.telemetry.worker_table import WorkerTable
from service.wire import PredictResponse

log = logging.getLogger("service.request")

# nginx's number for a client that was gone before there was an answer. Never sent.
CLIENT_GONE = 499
# How the paths of health checks begin.
HEALTH = ("/health", "/v2/health")

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
# Images like those of training score about 1; a guard's threshold lies a little above.
_SCORES = (0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.75, 2, 2.5, 3, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_STAGES = ("decode", "queue", "inference")


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._told: Collector = registry
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._requests = Counter("xray_requests", "Requests answered.", ["route", "status"], registry=registry)
        self._request_s = Histogram(
            "xray_request_seconds", "First byte to answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self._predictions = Counter(
            "xray_predictions", "Images answered with a label.", ["label", "operating_point"], registry=registry
        )
        self._failed = Counter(
            "xray_images_failed", "Images among several that got no label.", ["problem"], registry=registry
        )
        self._flagged = Counter("xray_guard_flagged", "Images unlike the training data.", registry=registry)
        self._guard_score = Histogram(
            "xray_guard_score", "How unlike the training data an image is.", buckets=_SCORES, registry=registry
        )
        self._audit_written = Counter("xray_audit_lines", "Lines of the audit written.", registry=registry)
        self._audit_lost = Counter("xray_audit_lost", "Lines of the audit that are missing.", registry=registry)
        self._batches = Counter("xray_batches", "Model calls.", registry=registry)
        self._batch_size = Histogram("xray_batch_size", "Images a model call.", buckets=_IMAGES, registry=registry)
        self._inference_s = Histogram(
            "xray_inference_seconds", "One model call, whole batch.", buckets=_SECONDS, registry=registry
        )
        stage_s = Histogram(
            "xray_stage_seconds",
            "Of one image: decode, queue, inference.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = [stage_s.labels(stage) for stage in _STAGES]
        binned = ["feature", "bin"]
        self._drift = Counter("xray_drift_images", "Images by a number of their own.", binned, registry=registry)
        text = "Which part of the reference's images is in the bin."
        self._share = Gauge("xray_drift_reference_share", text, binned, registry=registry)
        self._binned: dict[str, tuple[Bins, list[Counter]]] = {}

    def expect_requests(self, routes: Iterable[str], statuses: Iterable[int], problems: Iterable[str]) -> None:
        """Begin what is counted of these at 0: Prometheus sees no growth in a series that begins at 1."""
        known = {200, CLIENT_GONE, *statuses}
        for route in routes:
            for status in known:
                self._requests.labels(route, str(status))
        for problem in problems:
            self._failed.labels(problem)

    def expect_images(self, operating_points: Iterable[str], bins: Mapping[str, Bins]) -> None:
        """Begin what is counted of images at 0, and tell the reference's shares of the bins."""
        for point in operating_points:
            for label in LABELS:
                self._predictions.labels(label, point)
        for feature, known in bins.items():
            self._binned[feature] = known, [self._drift.labels(feature, name) for name in known.names]
            for name, share in zip(known.names, known.shares or (), strict=False):
                self._share.labels(feature, name).set(share)

    def follow(
        self,
        queue_depth: Callable[[], float],
        seats_taken: Callable[[], float],
        seats: Callable[[], float],
        ready: Callable[[], float],
    ) -> None:
        """Report these at each scrape."""
        for name, text, value in (
            ("xray_queue_depth", "Images waiting for the model.", queue_depth),
            ("xray_seats_taken", "Images inside, from the door to the answer.", seats_taken),
            ("xray_seats", "Images that may be inside.", seats),
            ("xray_ready", "1 while requests are let in.", ready),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def serves(self, **labels: str) -> None:
        """Say which model runs, and where it really does."""
        text = "The model, its graph and its live execution provider."
        Gauge("xray_model_info", text, labels, registry=self._registry).labels(**labels).set(1)

    def follow_audit(self, failing: Callable[[], float]) -> None:
        """Report this at each scrape."""
        text = "1 while the audit cannot be written."
        Gauge("xray_audit_failing", text, registry=self._registry).set_function(failing)

    def audit_written(self, lines: int) -> None:
        """Count lines of the audit that are on the disk."""
        self._audit_written.inc(lines)

    def audit_lost(self, lines: int) -> None:
        """Count lines of the audit that could not be written."""
        self._audit_lost.inc(lines)

    def request_answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._request_s.labels(route).observe(seconds)

    def batch_done(self, size: int, seconds: float) -> None:
        """Count a model call."""
        self._batches.inc()
        self._batch_size.observe(size)
        self._inference_s.observe(seconds)

    def image_read(self, decode_s: float, queue_s: float, inference_s: float) -> None:
        """Count where the time of an image went."""
        for stage, seconds in zip(self._stages, (decode_s, queue_s, inference_s), strict=True):
            stage.observe(seconds)

    def image_judged(self, score: float, flagged: bool) -> None:
        """Count what the guard says of an image. An infinite score would make the scores' sum useless for good."""
        self._flagged.inc(flagged)
        if math.isfinite(score):
            self._guard_score.observe(score)

    def image_seen(self, numbers: Mapping[str, float]) -> None:
        """Count an image by numbers of its own, each in its bin; those that were not expected are left out."""
        for feature, (bins, counts) in self._binned.items():
            if feature in numbers:
                counts[bins.find(numbers[feature])].inc()

    def images_answered(self, answer: PredictResponse) -> None:
        """Count the labels of an answer, and the problems of its images that have none."""
        for prediction in answer.predictions:
            if prediction.error:
                self._failed.labels(prediction.error.type).inc()
            else:
                self._predictions.labels(prediction.label, answer.operating_point).inc()

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._told)

    def share(self, table: WorkerTable, worker: int) -> Totals:
        """Tell from now on of all workers on a board, of which this process is one. Returns who lets them know."""
        self._told = totals = Totals(self._registry, table, worker)
        return totals


@dataclass(slots=True)
class RequestRecord:
    """What is known of a request while it is handled, and logged when it is answered."""

    request_id: str
    began: float = field(default_factory=time.monotonic)
    route: str = "unmatched"
    status: int = CLIENT_GONE
    outcome: str = "ok"
    caller: str | None = None
    model: str | None = None
    images: int = 0
    flagged: int = 0
    batch_size: int = 0
    decode_ms: float = 0
    queue_ms: float = 0
    inference_ms: float = 0

    @property
    def server_timing(self) -> str:
        """Where the time went, for the header of that name."""
        return f"decode;dur={self.decode_ms}, queue;dur={self.queue_ms}, inference;dur={self.inference_ms}"

    def emit(self, metrics: Metrics) -> None:
        """Count and log the request."""
        seconds = time.monotonic() - self.began
        metrics.request_answered(self.route, self.status, seconds)
        level = logging.DEBUG if self.route.startswith((*HEALTH, "/metrics")) else logging.INFO
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "began"}
        log.log(level, "request", extra={**fields, "total_ms": round(1e3 * seconds, 1)})
