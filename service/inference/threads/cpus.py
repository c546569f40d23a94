"""How many CPUs this process can use, and how model calls share them."""

import math
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
# Added to the nice value of compute threads: five steps leave a third of the weight (sched(7): about 1.25 per step).
_NICE, _MAX_NICE = 5, 19
# With more than four threads for one small image, the threads mostly wait for each other.
_MAX_THREADS_ALONE = 4
# On two CPUs a lone image gains nothing from a second thread (benchmarks/lone.py), whose session takes 6 MiB.
_TOO_FEW_CPUS = 2


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """The CPUs of the affinity mask, or fewer if a cgroup quota allows less; at least 1.

    A container limited to 2 CPUs of a 64-core host sees 64 cores. 64 threads would mostly wait for each other, so the
    size of a thread pool must respect the quota (kernel documentation, cgroup v2 ``cpu.max``).
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def lower_priority() -> None:
    """Lower the priority of the calling thread. For compute threads, so that the event loop, which admits and rejects
    requests and answers health checks, never waits for a CPU.

    On Linux only, where each thread has its own nice value (sched(7)); elsewhere it would apply to the whole process.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(_MAX_NICE, os.getpriority(os.PRIO_PROCESS, thread) + _NICE))


def cpus_per_worker(workers: int) -> int:
    """The usable CPUs divided by the number of worker processes, rounded down; at least 1."""
    return max(1, usable_cpus() // workers)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How model calls share the CPUs.

    Attributes:
        runs: maximum concurrent model calls.
        threads: threads per call.
        alone: threads of a call while the service is otherwise idle; equal to ``threads`` if there is no such mode.
    """

    runs: int
    threads: int
    alone: int


def plan_calls(cpus: int, runs: int = 0, threads: int = 0, *, batches_pay: bool = False) -> CallPlan:
    """Plan how model calls share the CPUs.

    Under load, several threads per call have no advantage over as many concurrent calls, and cost the synchronisation
    between the threads. So calls have one thread each and run concurrently; only a single image in an idle service gets
    several threads, if there are three CPUs or more. A model whose weights must be read from memory for each call runs
    large batches, one at a time.

    Args:
        cpus: 1 or more.
        runs: the setting; 0: not set.
        threads: the setting; 0: not set.
        batches_pay: whether one call of four images takes much less time than four calls.
    """
    if threads or runs:
        threads = threads or max(1, cpus // runs)
        return CallPlan(runs or max(1, cpus // threads), threads, threads)
    if batches_pay:
        return CallPlan(1, cpus, cpus)
    return CallPlan(cpus, 1, min(cpus, _MAX_THREADS_ALONE) if cpus > _TOO_FEW_CPUS else 1)


def _quota(cgroup: Path) -> float | None:
    """The CPUs that a cgroup allows: version 2 (``cpu.max``), else version 1; None without a limit."""
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
