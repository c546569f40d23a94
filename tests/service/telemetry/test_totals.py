"""Aggregated metrics: the same from every worker, and counters that never decrease."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.telemetry import totals
from service.telemetry.totals import Totals
from service.telemetry.worker_table import WorkerTable

WORKERS = 3
LABELS = ("ward", "lab")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.integers(0, WORKERS - 1), st.sampled_from(LABELS), st.integers(1, 9)),
        st.tuples(st.just("die"), st.integers(0, WORKERS - 1), st.just(""), st.just(0)),
        st.tuples(st.just("scrape"), st.integers(0, WORKERS - 1), st.just(""), st.just(0)),
    ),
    max_size=25,
)


class Worker:
    """The metrics of one worker, and its collector of all workers."""

    def __init__(self, table: WorkerTable, worker: int) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("xray_asked", "Requests.", ["where"], registry=self.registry)
        self.took_s = Histogram("xray_took_seconds", "Took.", buckets=(1, 5), registry=self.registry)
        self.process = Counter("process_ticks", "Ticks.", registry=self.registry)
        self.queue = Gauge("xray_queue_depth", "Waiting.", registry=self.registry)
        self.ready = Gauge("xray_ready", "Ready.", registry=self.registry)
        self.failing = Gauge("xray_audit_failing", "Failing.", registry=self.registry)
        self.totals = Totals(self.registry, table, worker)
        self.totals.publish()

    def scrape(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Values by name and labels."""
        found = [
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for each in self.totals.collect()
            for sample in each.samples
            if not sample.name.endswith("_created")  # the minimum over workers, which may decrease
        ]
        assert len({key[:2] for key in found}) == len(found)  # no duplicates
        return {(name, labels): value for name, labels, value in found}


@settings(max_examples=50)
@given(STEPS)
def test_counters_never_decrease_and_lose_nothing_published(steps: list[tuple[str, int, str, int]]) -> None:
    table = WorkerTable(WORKERS)
    workers = [Worker(table, number) for number in range(WORKERS)]
    counted = dict.fromkeys(LABELS, 0)
    lost = dict.fromkeys(LABELS, 0)  # counted after the last snapshot of a worker that died
    since = [dict.fromkeys(LABELS, 0) for _ in workers]
    before = workers[0].scrape()
    for what, number, label, seconds in steps:
        if what == "count":
            workers[number].requests.labels(label).inc()
            workers[number].took_s.observe(seconds)
            counted[label] += 1
            since[number][label] += 1
        elif what == "die":
            workers[number] = Worker(table, number)
            lost = {each: lost[each] + since[number][each] for each in LABELS}
            since[number] = dict.fromkeys(LABELS, 0)
        else:
            values = workers[number].scrape()
            since[number] = dict.fromkeys(LABELS, 0)
            fell = {key for key in before if values.get(key, 0) < before[key] and not key[0].startswith("process_")}
            assert fell == set()
            before = values
    for worker in workers:
        worker.totals.publish()
    values = workers[0].scrape()
    for label in LABELS:
        assert values.get(("xray_asked_total", (("where", label),)), 0) == counted[label] - lost[label]
    assert values["xray_took_seconds_count", ()] == sum(counted.values()) - sum(lost.values())
    assert values["xray_took_seconds_bucket", (("le", "+Inf"),)] == values["xray_took_seconds_count", ()]


def test_gauges_are_merged_and_metrics_of_processes_are_not() -> None:
    table = WorkerTable(2)
    workers = [Worker(table, number) for number in range(2)]
    for number, worker in enumerate(workers):
        worker.queue.set(10 + number)
        worker.ready.set(number)
        worker.failing.set(number)
        worker.process.inc(5 + number)
        worker.totals.publish()
    values = workers[0].scrape()
    assert values["xray_queue_depth", ()] == 21
    assert values["xray_ready", ()] == 0
    assert values["xray_audit_failing", ()] == 1
    assert [values["process_ticks_total", (("worker", str(number)),)] for number in range(2)] == [5, 6]
    workers[1] = Worker(table, 1)  # a new process: its own figures start at 0
    assert workers[1].scrape()["process_ticks_total", (("worker", "1"),)] == 0


def test_a_worker_with_a_stale_snapshot_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    table = WorkerTable(2)
    workers = [Worker(table, number) for number in range(2)]
    for worker in workers:
        worker.ready.set(1)
        worker.queue.set(3)
        worker.totals.publish()
    assert workers[0].scrape()["xray_ready", ()] == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + totals._STALE_S + 1)
    values = workers[0].scrape()
    assert (values["xray_ready", ()], values["xray_queue_depth", ()]) == (0, 6)
