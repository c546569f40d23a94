"""How many CPUs this process may really use."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """CPUs of the affinity mask, or fewer if a cgroup quota allows less; at least 1.

    A container limited to 2 CPUs of a 64-core host sees 64 cores. Threads for 64 would wait for each other most of the
    time, so whoever sizes a thread pool has to ask for the quota (kernel documentation, cgroup v2 ``cpu.max``).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def share_of_cpus(workers: int) -> int:
    """CPUs for each of so many processes; at least 1."""
    return max(1, usable_cpus() // workers)


def runs_and_threads(cpus: int, runs: int = 0, threads: int = 0) -> tuple[int, int]:
    """How many model calls run side by side, and on how many threads each.

    Where neither is set, each call has two threads: on two CPUs, beside the threads that decode, two calls of one
    thread served no faster than one call of two (docs/operations.md has the figures). More CPUs were not at hand.

    Args:
        cpus: to divide, 1 or more.
        runs: as set; 0: as many as the threads leave room for.
        threads: as set; 0: as many as the runs leave room for, and two if those are not set either.
    """
    threads = threads or (max(1, cpus // runs) if runs else min(2, cpus))
    return runs or max(1, cpus // threads), threads


def _quota(cgroup: Path) -> float | None:
    """CPUs a cgroup allows: version 2 (``cpu.max``), else version 1; None where there is no limit."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return None if int(limit) <= 0 else int(limit) / int(period)
    except (OSError, ValueError):
        return None
