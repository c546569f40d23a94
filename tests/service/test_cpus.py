"""Thread pools are sized to the CPUs that this process may use, not to those the host has."""

import os
from pathlib import Path

import pytest

from service.cpus import runs_and_threads, share_of_cpus, usable_cpus


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
    monkeypatch.setattr("service.cpus.usable_cpus", lambda: 8)
    assert share_of_cpus(workers) == cpus


@pytest.mark.parametrize(
    ("runs", "threads", "found"),
    [
        (0, 0, (4, 2)),
        (0, 2, (4, 2)),
        (2, 0, (2, 4)),
        (1, 0, (1, 8)),
        (3, 5, (3, 5)),
        (0, 16, (1, 16)),
        (16, 0, (16, 1)),
    ],
)
def test_runs_and_threads_fill_the_cpus(runs: int, threads: int, found: tuple[int, int]) -> None:
    assert runs_and_threads(8, runs, threads) == found


@pytest.mark.parametrize(("cpus", "found"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 2)), (64, (32, 2))])
def test_a_call_has_two_threads_unless_told_otherwise(cpus: int, found: tuple[int, int]) -> None:
    assert runs_and_threads(cpus) == found
