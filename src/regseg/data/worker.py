"""Set-up of a loader worker process: signals, threads and memory.

Lightning is not imported here, because it takes 150 MB in a worker that is not forked.
"""

from __future__ import annotations

import cv2
import torch

from regseg.system import processes
from regseg.system.memory import keep_memory


def set_up_worker(worker: int) -> None:
    """Set up a loader worker process: it ignores signals, exits with its parent and uses one core.

    Args:
        worker: the worker's number, which DataLoader passes to its `worker_init_fn`.
    """
    processes.set_up_worker()
    take_one_core()


def take_one_core() -> None:
    """Limit OpenCV and torch to one thread each, and keep freed memory.

    There are as many workers as cores, so more threads would only compete with each other.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_memory(block=32 * 2**20, unused=128 * 2**20)  # saves a tenth of the time per crop
