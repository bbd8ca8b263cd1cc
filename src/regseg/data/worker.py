"""Setting up a loader worker process: signals, threads, memory.

Lightning is not imported here: a worker that is not forked would carry its 150 MB.
"""

from __future__ import annotations

import contextlib
import ctypes

import cv2
import torch

from regseg.system import processes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def set_up_worker(worker: int) -> None:
    """Set up a loader worker process: its signals, its end with its parent, `take_one_core`."""
    processes.set_up_worker()
    take_one_core()


def take_one_core() -> None:
    """Keep OpenCV and torch to one thread each, and keep freed memory.

    Workers are as many as there are cores; threads within them would only get into each other's way.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_memory()


def keep_memory() -> None:
    """Keep arrays of some megabytes when they are freed, instead of giving them back to the system.

    Otherwise the system would map and clear the same megabytes anew for every crop, a tenth of its time. Does nothing
    where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(_M_TRIM_THRESHOLD, 128 * 2**20)
