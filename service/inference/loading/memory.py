"""Returning the memory of released models to the operating system."""

import ctypes
import sys


def return_freed_memory() -> None:
    """Have the C library give free memory back. Does nothing where it cannot (only glibc can). Does not hold the GIL.

    glibc keeps what a released model leaves, spread over an arena for each thread, and under load does not use it for
    the next model: memory would grow with each one that is replaced.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
