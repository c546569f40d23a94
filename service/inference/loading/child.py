"""Child processes for work that may crash or take long: their command, their environment, their start.

    python -m service.inference.loading.child MODULE

They get no settings and no keys, only the search path of Python's modules. They stay in the session of the service: on
Linux each session is scheduled as a group of its own, with the same share of the CPUs as any other, so that a nice
value has no effect on the processes of another session (sched(7), autogroup).
"""

import contextlib
import importlib
import os
import sys
from pathlib import Path

# Added to the nice value: five steps below the threads that compute (service.inference.threads.cpus), beside which a
# process gets a quarter of a CPU. It always gets some: what has a time limit must not starve.
NICE = 10


def command(module: str) -> tuple[str, ...]:
    """The command that runs the function ``main`` of a module of this project, at a lower priority."""
    return sys.executable, "-m", __name__, module


def environment() -> dict[str, str]:
    """The environment variables of a process."""
    path = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)
    return {
        "PYTHONPATH": path,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main() -> int | None:
    """The main function. Sets limits first, because the import of the module takes most of a short process's time."""
    with contextlib.suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("1000")
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # a terminal's Ctrl-C is for the service
        os.nice(NICE)
    code: int | None = importlib.import_module(sys.argv[1]).main()
    return code


if __name__ == "__main__":
    sys.exit(main())
