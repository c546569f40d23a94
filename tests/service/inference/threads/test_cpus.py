"""Thread pools are sized by the CPUs that the process may use, not by those of the host."""

import os
from pathlib import Path

import pytest

from service.inference.threads.cpus import CallPlan, cpus_per_worker, plan_calls, usable_cpus


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_a_quota_of_cgroup_version_2(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 8), ("300000", 3)])
def test_a_quota_of_cgroup_version_1(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert usable_cpus(tmp_path) == cpus


def test_without_a_cgroup_it_is_the_affinity(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 8


def test_an_invalid_quota_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("what")
    assert usable_cpus(tmp_path) == 8


@pytest.mark.parametrize(("workers", "cpus"), [(1, 8), (2, 4), (3, 2), (8, 1), (20, 1)])
def test_workers_share_the_cpus(workers: int, cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.inference.threads.cpus.usable_cpus", lambda: 8)
    assert cpus_per_worker(workers) == cpus


@pytest.mark.parametrize(
    ("runs", "threads", "plan"),
    [(0, 2, (4, 2)), (2, 0, (2, 4)), (1, 0, (1, 8)), (3, 5, (3, 5)), (0, 16, (1, 16)), (16, 0, (16, 1))],
)
def test_a_setting_that_is_missing_is_derived_from_the_cpus(runs: int, threads: int, plan: tuple[int, int]) -> None:
    assert plan_calls(8, runs, threads) == CallPlan(*plan, alone=plan[1])


@pytest.mark.parametrize(("cpus", "alone"), [(1, 1), (2, 1), (3, 3), (64, 4)])
def test_calls_have_one_thread_and_several_only_when_idle(cpus: int, alone: int) -> None:
    assert plan_calls(cpus) == CallPlan(cpus, 1, alone)


def test_large_models_have_one_call_at_a_time() -> None:
    assert plan_calls(8, batches_pay=True) == CallPlan(1, 8, 8)
    assert plan_calls(8, 2, batches_pay=True) == CallPlan(2, 4, 4)
