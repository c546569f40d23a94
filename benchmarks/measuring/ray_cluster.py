"""A Ray cluster on this machine alone: a head without CPUs, and nodes with one CPU each."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring.bulk_runs import Cpu
from benchmarks.measuring.processes import cpu_s, descendants
from tests import ROOT

# How Ray names the process of an actor of Ray Data.
_ACTOR = b"ray::MapWorker"
# Of all clusters of this process: Ray keeps the first token that it reads.
_TOKEN = secrets.token_hex(32)


@contextmanager
def ray_cluster(nodes: int, scratch: Path) -> Iterator[str]:
    """Run a cluster within this context, with the environment of deploy/ray. Gives its address.

    Args:
        nodes: how many, besides the head.
        scratch: for its files; a short path, because sockets are among them.
    """
    home = scratch / "home"
    home.mkdir(parents=True)
    (home / "ray_bootstrap_config.yaml").write_text("provider: {type: local}\n")
    (scratch / "token").write_text(_TOKEN)
    os.environ |= {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(scratch / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",
        "RAY_TMPDIR": str(scratch),
        "RAY_memory_monitor_refresh_ms": "0",
    }
    from ray.cluster_utils import Cluster

    same = {"include_log_monitor": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **same})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **same)
        yield cluster.address
    finally:
        cluster.shutdown()


def ray_cpu() -> Cpu:
    """Of a cluster that this process runs: of each actor with its worker process; and of all else, its driver, too."""
    ours = descendants(os.getpid())
    actors = {pid: [pid, *descendants(pid)] for pid in ours if _command_line(pid).startswith(_ACTOR)}
    inside = {pid for tree in actors.values() for pid in tree}
    beside = sum(_cpu_s(pid) for pid in ours if pid not in inside)
    return Cpu({pid: sum(map(_cpu_s, tree)) for pid, tree in actors.items()}, beside)


def _command_line(process: int) -> bytes:
    with contextlib.suppress(OSError):  # it has just ended
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _cpu_s(process: int) -> float:
    with contextlib.suppress(OSError):
        return cpu_s(process)
    return 0.0
