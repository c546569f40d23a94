"""The C library's memory: models that are replaced again and again must not make the process grow.

glibc gives nearly every thread an arena of its own, and never merges them. A model that is released leaves holes in the
arenas of the threads that loaded and ran it; requests fill some of these, and the next model, loaded by another thread,
cannot use them. So the process has two arenas instead of eight for each CPU (mallopt(3)), and what a released model
leaves is given back.
"""

import contextlib
import ctypes
import os
import sys

_M_ARENA_MAX, _ARENAS = -8, 2
# By which an administrator sets the same.
_VARIABLES = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def limit_arenas() -> None:
    """Have the C library use few arenas, for all threads that are started later. Does nothing where it has none (only
    glibc has), or an environment variable says how many.
    """
    if (mallopt := _function("mallopt")) and not any(name in os.environ for name in _VARIABLES):
        mallopt(_M_ARENA_MAX, _ARENAS)


def return_freed_memory() -> None:
    """Have the C library give free memory back. Does nothing where it cannot (only glibc can). The GIL is not held."""
    if trim := _function("malloc_trim"):
        trim(0)


def _function(name: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def disable_core_dumps() -> None:
    """A core dump of this process, or of one that it starts, would put images on the disk."""
    with contextlib.suppress(ImportError):  # Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
