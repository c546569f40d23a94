"""Aggregates the metrics of several workers, so that a scrape of any worker returns those of the whole service.

Each worker publishes a snapshot of its metrics in shared memory every second and at each scrape, and a scrape merges
the snapshots of all. So counters never decrease from one scrape to the next, and a restarted worker continues the
counters from the last snapshot of its predecessor.
"""

import json
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from service.telemetry.worker_table import WorkerTable

_SERVICE_PREFIX = "xray_"
# Gauges are merged by sum or minimum; all others by maximum, since they have the same value in every worker.
_SUM = {"xray_queue_depth", "xray_seats_taken", "xray_seats"}
_MINIMUM = {"xray_ready"}
_CUMULATIVE = {"counter", "histogram"}
# A worker whose snapshot is older hangs or is dead.
_STALE_S = 10.0


class Totals:
    """A Prometheus collector of the merged metrics of all workers.

    Args:
        registry: the metrics of this worker.
        table: shared by all workers.
        worker: the number of this worker.
    """

    def __init__(self, registry: CollectorRegistry, table: WorkerTable, worker: int) -> None:
        self._registry, self._table, self._worker = registry, table, worker
        self._predecessor = [
            metric
            for metric in _parse(table.snapshot(worker))
            if metric.type in _CUMULATIVE and _is_service_metric(metric)
        ]

    def publish(self) -> None:
        """Publish a snapshot of the metrics of this worker."""
        own = merge([*self._predecessor, *self._registry.collect()])
        labelled = [
            metric if _is_service_metric(metric) else _with_worker_label(metric, self._worker) for metric in own
        ]
        self._table.publish(self._worker, _serialised(labelled))

    def collect(self) -> Iterable[Metric]:
        """The metrics of the service, merged over all workers; metrics of processes have a label ``worker``."""
        self.publish()
        slots = (*self._table.workers, self._table.parent)
        return merge(metric for slot in slots for metric in _parse(self._table.snapshot(slot)))


class Replacements:
    """Counts, in the parent, the workers that were replaced, and publishes the count.

    Args:
        table: shared with the workers.
    """

    def __init__(self, table: WorkerTable) -> None:
        self._table, self._registry = table, CollectorRegistry()
        self._counter = replacements_counter(self._registry)

    def count(self, reason: str) -> None:
        """Count one worker.

        Args:
            reason: ``exited`` or ``silent``.
        """
        self._counter.labels(reason).inc()
        self._table.publish(self._table.parent, _serialised(self._registry.collect()))


def replacements_counter(registry: CollectorRegistry) -> Counter:
    """The counter of replaced workers, from 0."""
    text = "Workers that were replaced, because they exited or were silent."
    counter = Counter("xray_workers_replaced", text, ["reason"], registry=registry)
    for reason in ("exited", "silent"):
        counter.labels(reason)
    return counter


def merge(metrics: Iterable[Metric]) -> list[Metric]:
    """Merge metrics of the same name, and their samples of the same labels. The order is that of first occurrence."""
    merged: dict[str, Metric] = {}
    samples: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]] = {}
    for metric in metrics:
        merged.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
        by_labels = samples.setdefault(metric.name, {})
        for sample in metric.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            before = by_labels.get(key)
            by_labels[key] = _combined(metric, before, sample) if before else sample
    for name, metric in merged.items():
        metric.samples = list(samples[name].values())
    return list(merged.values())


def _combined(metric: Metric, one: Sample, other: Sample) -> Sample:
    pair = one.value, other.value
    if one.name.endswith("_created") or metric.name in _MINIMUM:
        return one._replace(value=min(pair))
    if metric.type in _CUMULATIVE or metric.name in _SUM:
        return one._replace(value=sum(pair))
    return one._replace(value=max(pair))


def _serialised(metrics: Iterable[Metric]) -> bytes:
    """A snapshot of metrics, with the time."""
    serialised = [
        (metric.name, metric.documentation, metric.type, [(s.name, s.labels, s.value) for s in metric.samples])
        for metric in metrics
    ]
    return json.dumps([time.monotonic(), serialised]).encode()


def _parse(snapshot: bytes) -> list[Metric]:
    """The metrics of a snapshot. In a stale one, ``xray_ready`` is 0."""
    if not snapshot:
        return []
    published, serialised = json.loads(snapshot)
    is_stale = time.monotonic() - published > _STALE_S
    metrics = []
    for name, documentation, kind, samples in serialised:
        metric = Metric(name, documentation, kind)
        for sample, labels, value in samples:
            metric.add_sample(sample, labels, 0.0 if is_stale and name in _MINIMUM else value)
        metrics.append(metric)
    return metrics


def _is_service_metric(metric: Metric) -> bool:
    return str(metric.name).startswith(_SERVICE_PREFIX)


def _with_worker_label(metric: Metric, worker: int) -> Metric:
    """A metric of the process, with the number of the worker as a label."""
    labelled = Metric(metric.name, metric.documentation, metric.type)
    for sample in metric.samples:
        labelled.add_sample(sample.name, {**sample.labels, "worker": str(worker)}, sample.value)
    return labelled
