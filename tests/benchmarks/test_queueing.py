"""The queueing model: laws that hold for any closed network, and the records that it reads."""

import json
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.queueing import elsewhere, held_against, predictions
from benchmarks.simulation.model import Setup, Times, simulate
from benchmarks.simulation.other_machine import fitted, records
from benchmarks.simulation.times import Observed, Record, slower
from tests import ROOT

TIMES = Times(
    decode_ms=(6.0,),
    decode_gil_ms=0.5,
    decode_sections=4,
    model_ms={1: 3.0, 2: 5.0, 3: 7.0, 4: 9.0},
    model_gil_ms=0.25,
    loop_ms=1.5,
    client_ms=0.5,
)
VARIED = replace(TIMES, decode_ms=(3.0, 5.0, 6.0, 11.0))
ALONE_MS = 6.0 + 3.0 + 1.5 + 0.5
GPU = replace(TIMES, model_ms={1: 1.0, 4: 1.0, 16: 1.1, 64: 2.3})


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (4, 1), (4, 2)])
def test_one_connection_takes_the_sum_of_all_times(cpus: int, workers: int) -> None:
    found = simulate(TIMES, Setup(cpus, workers, 1), images=50)
    assert found.p50_ms == pytest.approx(ALONE_MS)
    assert found.p99_ms == pytest.approx(ALONE_MS)
    assert found.rate == pytest.approx(1e3 / ALONE_MS)


def test_one_cpu_is_never_idle_and_its_rate_is_one_over_the_cpu_time_of_an_image() -> None:
    found = simulate(TIMES, Setup(1, 1, 16), images=500)
    assert found.batch == 1
    assert found.rate == pytest.approx(1e3 / ALONE_MS, rel=0.01)


@pytest.mark.parametrize("setup", [Setup(1, 1, 8), Setup(2, 1, 16), Setup(4, 2, 32), Setup(16, 1, 64)])
def test_littles_law(setup: Setup) -> None:
    found = simulate(VARIED, setup, images=700)
    assert found.rate * found.mean_ms / 1e3 == pytest.approx(setup.connections, rel=0.02)


@pytest.mark.parametrize("cpus", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_rate_is_over_the_bounds_of_a_closed_network(cpus: int, workers: int) -> None:
    """At most one over the demand of each resource: the CPUs, the GIL of each worker, the client's thread."""
    found = simulate(TIMES, Setup(cpus, workers, 32), images=640)
    locked_ms = TIMES.loop_ms + TIMES.decode_gil_ms + TIMES.model_gil_ms
    cpu_ms = ALONE_MS
    bounds = (1e3 * cpus / cpu_ms, 1e3 * workers / locked_ms, 1e3 / TIMES.client_ms)
    assert found.rate <= min(bounds) * 1.01


def test_with_many_cpus_one_worker_is_bound_by_its_gil_and_four_are_not() -> None:
    one, four = (simulate(TIMES, Setup(32, workers, 48), images=960) for workers in (1, 4))
    assert one.rate == pytest.approx(1e3 / (TIMES.loop_ms + TIMES.decode_gil_ms + TIMES.model_gil_ms), rel=0.1)
    assert four.rate > 2.5 * one.rate


def test_the_client_s_one_thread_bounds_the_rate() -> None:
    slow = replace(TIMES, client_ms=20.0)
    assert simulate(slow, Setup(32, 4, 16), images=320).rate == pytest.approx(50, rel=0.01)


def test_a_held_gil_delays_others_though_cpus_are_idle() -> None:
    locked = replace(TIMES, decode_gil_ms=6.0)
    assert simulate(locked, Setup(16, 1, 32), images=700).rate < 1e3 / (6.0 + TIMES.loop_ms) * 1.01
    assert simulate(TIMES, Setup(16, 1, 32), images=700).rate > 2 * 1e3 / (6.0 + TIMES.loop_ms)


def test_on_a_gpu_batches_form_while_a_call_runs_and_no_cpu_computes_it() -> None:
    slow = replace(GPU, model_ms={64: 50.0})
    found = simulate(slow, Setup(16, 1, 64, gpu=True), images=1280)
    assert found.batch > 10
    assert found.rate > 1e3 / 50 * 10
    cpu_ms = 6.0 + 1.5 + 0.5
    assert simulate(GPU, Setup(1, 1, 16, gpu=True), images=500).rate == pytest.approx(1e3 / cpu_ms, rel=0.05)


def test_the_same_seed_gives_the_same_and_another_one_another() -> None:
    setup = Setup(2, 1, 8)
    assert simulate(VARIED, setup, 160) == simulate(VARIED, setup, 160)
    assert simulate(VARIED, setup, 160) != simulate(VARIED, setup, 160, seed=1)


def test_the_event_loop_s_time_is_found_again_from_the_rate_that_it_gives() -> None:
    setup = Setup(16, 1, 12, gpu=True)
    found = simulate(GPU, setup, images=240)
    again = fitted(replace(GPU, loop_ms=0.1), Observed(setup, found.rate, found.p50_ms, found.p99_ms), images=240)
    assert again.loop_ms == pytest.approx(GPU.loop_ms, rel=0.05)


def test_a_prediction_of_what_was_predicted_has_no_error() -> None:
    setup = Setup(2, 1, 4)
    found = simulate(VARIED, setup, 200)
    beside = held_against(VARIED, Observed(setup, found.rate, found.p50_ms, found.p99_ms), 200)
    assert (beside["rate_error"], beside["p50_ms_error"], beside["p99_ms_error"]) == (0, 0, 0)


def test_more_workers_than_cpus_are_not_predicted() -> None:
    found = predictions(TIMES, [1, 2], [1, 2, 4], connections=4, images=100)
    assert [(each["cpus"], each["workers"]) for each in found] == [(1, 1), (2, 1), (2, 2)]


def test_a_record_is_the_same_after_json() -> None:
    record = Record(VARIED, (Observed(Setup(2, 1, 16), 130.0, 110.0, 200.0),))
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_twice_as_slow_is_half_the_rate() -> None:
    setup = Setup(1, 1, 4)
    twice = simulate(slower(TIMES, 2), setup, 500).rate
    assert twice == pytest.approx(simulate(TIMES, setup, 500).rate / 2, rel=0.02)


def kept(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / name).read_text())
    return found


def test_the_kept_result_of_a_gpu_is_read() -> None:
    (record,) = records(kept("2026-11-26-gpu.json"), VARIED)
    assert [each.setup for each in record.observed] == [
        Setup(16, 1, count, gpu=True, switch_ms=1.0) for count in (1, 32, 128)
    ]
    mean_ms = sum(record.times.decode_ms) / len(record.times.decode_ms)
    assert mean_ms == pytest.approx(16e3 / 2246.1)
    assert (record.times.call_ms(5), record.times.call_ms(64)) == (1.187, 2.335)


def test_where_sizes_were_not_warm_each_call_is_as_long_as_a_first_one() -> None:
    (record,) = records(kept("2026-11-26-gpu-one-session.json"), VARIED)
    assert record.times.call_ms(1) > 40
    assert [each.setup.connections for each in record.observed] == [32, 128]


def test_numbers_of_workers_are_held_against_it_too_with_and_without_the_gpu() -> None:
    workers = {"connections": 128, "2 workers": {"per_second": [900.0], "p50_ms": [100.0], "p99_ms": [200.0]}}
    result = kept("2026-11-26-gpu.json") | {"workers_cuda": workers, "workers_cpu": workers, "failed": []}
    found = [each.observed[-1].setup for each in records(result, VARIED)]
    assert found == [Setup(16, 2, 128, gpu=True), Setup(16, 2, 128)]
    assert len(list(records(result | {"workers_cpu": "failed: no"}, VARIED))) == 1


def test_fitting_needs_a_load_of_so_many_connections() -> None:
    with pytest.raises(SystemExit, match="--fit 31: the result has no load"):
        elsewhere(kept("2026-11-26-gpu.json"), TIMES, fit=31)
