"""The metrics of several workers as those of one service, whichever of them is asked.

Each worker pins its own on the board every second and when it is asked, and tells what is there of all. What is asked
later therefore never counts less; and a new worker goes on counting where the dead one's note ends.
"""

import json
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from service.telemetry.worker_table import WorkerTable

_OURS = "xray_"
# Gauges of the whole: the sum of its workers', or the least. Of others the greatest; most of these have one value.
_SUMS = {"xray_queue_depth", "xray_seats_taken", "xray_seats"}
_LEAST = {"xray_ready"}
_COUNTS = {"counter", "histogram"}
# A worker that has told nothing for so long hangs, or is dead.
_SILENT_S = 10.0


class Totals:
    """A collector of what all workers count.

    Args:
        registry: of this worker.
        board: of all.
        worker: which this one is.
    """

    def __init__(self, registry: CollectorRegistry, table: WorkerTable, worker: int) -> None:
        self._registry, self._table, self._worker = registry, table, worker
        self._before = [
            metric for metric in _read(table.snapshot(worker)) if metric.type in _COUNTS and _is_ours(metric)
        ]

    def publish(self) -> None:
        """Let the others know."""
        own = merge([*self._before, *self._registry.collect()])
        labelled = [metric if _is_ours(metric) else _labelled(metric, self._worker) for metric in own]
        told = [
            (metric.name, metric.documentation, metric.type, [(s.name, s.labels, s.value) for s in metric.samples])
            for metric in labelled
        ]
        self._table.publish(self._worker, json.dumps([time.monotonic(), told]).encode())

    def collect(self) -> Iterable[Metric]:
        """What Prometheus is told: metrics of the service over all workers, those of processes one by one."""
        self.publish()
        return merge(metric for worker in self._table.workers for metric in _read(self._table.snapshot(worker)))


def merge(metrics: Iterable[Metric]) -> list[Metric]:
    """Metrics of one name become one, in order; samples of the same labels become one."""
    found: dict[str, Metric] = {}
    samples: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]] = {}
    for metric in metrics:
        found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
        known = samples.setdefault(metric.name, {})
        for sample in metric.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            before = known.get(key)
            known[key] = _combined(metric, before, sample) if before else sample
    for name, metric in found.items():
        metric.samples = list(samples[name].values())
    return list(found.values())


def _combined(metric: Metric, one: Sample, other: Sample) -> Sample:
    pair = one.value, other.value
    if one.name.endswith("_created") or metric.name in _LEAST:
        return one._replace(value=min(pair))
    if metric.type in _COUNTS or metric.name in _SUMS:
        return one._replace(value=sum(pair))
    return one._replace(value=max(pair))


def _read(snapshot: bytes) -> list[Metric]:
    """The metrics of a note; of a worker that is silent, that it is not ready."""
    if not snapshot:
        return []
    when, told = json.loads(snapshot)
    silent = time.monotonic() - when > _SILENT_S
    metrics = []
    for name, documentation, kind, samples in told:
        metric = Metric(name, documentation, kind)
        for sample, labels, value in samples:
            metric.add_sample(sample, labels, 0.0 if silent and name in _LEAST else value)
        metrics.append(metric)
    return metrics


def _is_ours(metric: Metric) -> bool:
    return str(metric.name).startswith(_OURS)


def _labelled(metric: Metric, worker: int) -> Metric:
    """The metric of a process as one of several."""
    told = Metric(metric.name, metric.documentation, metric.type)
    for sample in metric.samples:
        told.add_sample(sample.name, {**sample.labels, "worker": str(worker)}, sample.value)
    return told
