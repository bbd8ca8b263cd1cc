"""The set-up of a loader worker."""

import subprocess
import sys

import cv2
import torch

from regseg.data.worker import take_one_core


def test_a_worker_uses_one_thread():
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(2)
        cv2.setNumThreads(2)
        take_one_core()
        assert torch.get_num_threads() == 1
        assert cv2.getNumThreads() <= 1
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def test_a_worker_imports_no_lightning():
    code = "import sys, regseg.data.worker, regseg.data.torch_datasets; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
