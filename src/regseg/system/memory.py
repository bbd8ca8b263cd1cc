"""What the C library does with freed memory."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_LARGEST = 2**31 - 1  # mallopt takes an int
_LARGEST_OF_OLD_GLIBC = 32 * 2**20  # before 2.35


def keep_memory(block: int = _LARGEST, unused: int = _LARGEST) -> None:
    """Keep freed arrays in the process instead of returning their memory to the system.

    Otherwise the system maps and clears the same megabytes again and again: for every crop in a loader worker, and for
    every activation of a training step. This does nothing if the C library is not glibc.

    Args:
        block: arrays up to this number of bytes are kept; before glibc 2.35, up to 32 MiB.
        unused: number of unused bytes from which memory is returned.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if not libc.mallopt(_M_MMAP_THRESHOLD, block):
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_OF_OLD_GLIBC)
        libc.mallopt(_M_TRIM_THRESHOLD, unused)
