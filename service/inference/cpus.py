"""How many CPUs this process may really use."""

import math
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
# Of threads that compute. Five steps less are a third of the weight (sched(7): about 1.25 a step).
_NICE, _NICEST = 5, 19
# Beyond four, threads of one small image mostly wait for each other.
_MOST_ALONE = 4


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """CPUs of the affinity mask, or fewer if a cgroup quota allows less; at least 1.

    A container limited to 2 CPUs of a 64-core host sees 64 cores. Threads for 64 would wait for each other most of the
    time, so whoever sizes a thread pool has to ask for the quota (kernel documentation, cgroup v2 ``cpu.max``).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def step_back() -> None:
    """Have the calling thread let others have a CPU first: for threads that compute, so that the one that takes
    requests, refuses them and answers health checks never waits for a CPU.

    On Linux, where each thread has a nice value of its own (sched(7)); elsewhere it would be the whole process's.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(_NICEST, os.getpriority(os.PRIO_PROCESS, thread) + _NICE))


def share_of_cpus(workers: int) -> int:
    """CPUs for each of so many processes; at least 1."""
    return max(1, usable_cpus() // workers)


@dataclass(frozen=True, slots=True)
class Calls:
    """How model calls share the CPUs.

    Attributes:
        runs: most side by side.
        threads: of each.
        alone: of one while there is nothing else to do; as many as ``threads`` where that makes no difference.
    """

    runs: int
    threads: int
    alone: int


def share_out(cpus: int, runs: int = 0, threads: int = 0, *, batches_pay: bool = False) -> Calls:
    """How model calls share so many CPUs.

    Convolutions gain nothing by threads that another call could have had, and lose what threads cost that wait for each
    other: so calls of one thread, side by side; and several threads only for an image that nobody else competes with.
    A model whose weights are read from memory anew for each call is better off with large batches, one at a time.

    Args:
        cpus: 1 or more.
        runs: as set; 0: not set.
        threads: as set; 0: not set.
        batches_pay: whether a call of four images takes much less than four calls.
    """
    if threads or runs:
        threads = threads or max(1, cpus // runs)
        return Calls(runs or max(1, cpus // threads), threads, threads)
    return Calls(1, cpus, cpus) if batches_pay else Calls(cpus, 1, min(cpus, _MOST_ALONE))


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
