"""The C library's memory: few arenas, and what is free is given back."""

import ctypes
import os
import sys

import pytest

from tests import ROOT
from tests.commands import run

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc"
)

# Threads that allocate at the same time, then how many arenas there are (malloc_info(3)).
ARENAS = """
import ctypes, re, sys, tempfile, threading
from service.inference.loading.memory import limit_arenas

limit_arenas()
library, all_hold = ctypes.CDLL(None), threading.Barrier(8)
library.malloc.restype = ctypes.c_void_p
def hold():
    library.malloc(1000)
    all_hold.wait()
threads = [threading.Thread(target=hold) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(library.fopen(file.name.encode(), b"w"))
    library.malloc_info(0, stream)
    library.fclose(stream)
    print(len(re.findall(b"<heap nr", file.read())))
"""
# Many pieces, each below what is mapped on its own; all are freed but the last, which keeps the heap from shrinking.
TRIM = """
import ctypes, re, pathlib
from service.inference.loading.memory import return_freed_memory

library, size = ctypes.CDLL(None), 64 * 1024
library.malloc.restype = ctypes.c_void_p
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024
pieces = [library.malloc(size) for _ in range(1000)]
for piece in pieces: ctypes.memset(ctypes.c_void_p(piece), 1, size)
for piece in pieces[:-1]: library.free(ctypes.c_void_p(piece))
before = resident()
return_freed_memory()
print(before - resident())
"""


def printed(code: str, **environment: str) -> int:
    """The number that a process prints."""
    unset = {name: value for name, value in os.environ.items() if name not in {"MALLOC_ARENA_MAX", "GLIBC_TUNABLES"}}
    ended = run([sys.executable, "-c", code], cwd=ROOT, env=unset | environment)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


def test_threads_share_two_arenas() -> None:
    assert printed(ARENAS) <= 2


def test_an_administrator_s_number_of_arenas_is_kept() -> None:
    assert printed(ARENAS, MALLOC_ARENA_MAX="6") > 2


def test_freed_memory_is_given_back() -> None:
    mib = 1000 * 64 // 1024
    assert printed(TRIM) > mib / 2
