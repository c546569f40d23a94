"""Thread pools are sized to the CPUs that this process may use, not to those the host has."""

import os
from pathlib import Path

import pytest

from service.inference.cpus import Calls, share_of_cpus, share_out, usable_cpus


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


def test_a_file_that_makes_no_sense_is_no_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("what")
    assert usable_cpus(tmp_path) == 8


@pytest.mark.parametrize(("workers", "cpus"), [(1, 8), (2, 4), (3, 2), (8, 1), (20, 1)])
def test_workers_share_them(workers: int, cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.inference.cpus.usable_cpus", lambda: 8)
    assert share_of_cpus(workers) == cpus


@pytest.mark.parametrize(
    ("runs", "threads", "found"),
    [(0, 2, (4, 2)), (2, 0, (2, 4)), (1, 0, (1, 8)), (3, 5, (3, 5)), (0, 16, (1, 16)), (16, 0, (16, 1))],
)
def test_what_is_not_set_fills_the_cpus(runs: int, threads: int, found: tuple[int, int]) -> None:
    assert share_out(8, runs, threads) == Calls(*found, alone=found[1])


@pytest.mark.parametrize(("cpus", "alone"), [(1, 1), (2, 2), (3, 3), (64, 4)])
def test_calls_have_one_thread_and_more_only_alone(cpus: int, alone: int) -> None:
    assert share_out(cpus) == Calls(cpus, 1, alone)


def test_where_batches_pay_there_is_one_call_at_a_time() -> None:
    assert share_out(8, batches_pay=True) == Calls(1, 8, 8)
    assert share_out(8, 2, batches_pay=True) == Calls(2, 4, 4)
