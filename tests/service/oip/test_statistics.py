"""The statistics of the protocol, with several workers."""

import pytest

from service.oip.statistics import Statistics
from service.telemetry.metrics import Metrics
from service.telemetry.record import RequestRecord
from service.telemetry.worker_table import WorkerTable

MODEL = "pneumonia", "2"


def test_each_worker_answers_for_all() -> None:
    table = WorkerTable(2)
    metrics = [Metrics(), Metrics()]
    totals = [each.aggregate(table, number) for number, each in enumerate(metrics)]
    workers = [Statistics(each) for each in metrics]
    for worker, images in zip(workers, (3, 4), strict=True):
        record = RequestRecord("id", images=images, batch_size=2, decode_ms=5, queue_ms=1, inference_ms=7)
        with worker.counting(*MODEL, record):
            pass
    with pytest.raises(ValueError, match="wrong"), workers[0].counting(*MODEL, RequestRecord("id")):
        raise ValueError("wrong")
    for each in totals:
        each.publish()
    for worker in workers:
        [found, other] = worker.of(MODEL, ("pneumonia.classifier", "2"))
        stages = found.inference_stats
        assert (found.inference_count, stages.success.count, stages.fail.count) == (7, 2, 1)
        assert found.execution_count == round(7 / 2)
        assert (stages.compute_input.ns, stages.queue.ns, stages.compute_infer.ns) == (
            10_000_000,
            2_000_000,
            14_000_000,
        )
        assert found.last_inference > 0
        assert (other.inference_count, other.inference_stats.success.ns, other.last_inference) == (0, 0, 0)
