"""Updates that are put off are applied once each, in order, before anybody sees the metrics."""

import threading
from functools import partial

from service.telemetry.deferred import _MOST, DeferredUpdates
from service.telemetry.metrics import Metrics
from tests.waiting import DEADLINE_S


def test_a_scrape_sees_what_was_put_off() -> None:
    metrics = Metrics()
    metrics.request_answered("/predict", 200, 0.1)
    assert b'xray_requests_total{route="/predict",status="200"} 1.0' in metrics.text()
    metrics.request_answered("/predict", 200, 0.1)
    assert metrics.registry.get_sample_value("xray_request_seconds_count", {"route": "/predict"}) == 2


def test_many_are_applied_without_a_scrape() -> None:
    deferred, applied = DeferredUpdates(), list[int]()
    for number in range(_MOST):
        assert not applied
        deferred.add(partial(applied.append, number))
    assert applied == list(range(_MOST))


def test_updates_of_several_threads_are_applied_once_each() -> None:
    deferred, applied = DeferredUpdates(), list[int]()

    def add(first: int) -> None:
        for number in range(first, first + 2000):
            deferred.add(partial(applied.append, number))

    threads = [threading.Thread(target=add, args=(2000 * each,), daemon=True) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    deferred.apply()
    assert sorted(applied) == list(range(8000))
