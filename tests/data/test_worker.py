"""The set-up of a loader worker."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import cv2
import pytest
import torch
from batches import make
from child_processes import default_signals

from regseg.data.torch_datasets import TrainSet
from regseg.data.worker import take_one_core
from regseg.system.processes import _exists
from regseg.system.signals import end_on_signals


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


def load(root, folder):
    """Load with two workers that note their numbers and wait; signals raise an exception, as in a command."""

    def wait(self, request):
        (folder / str(os.getpid())).touch()
        time.sleep(60)

    os.setsid()
    os.dup2(os.open(folder / "errors", os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = sys.__stderr__  # pytest has replaced it
    default_signals()
    end_on_signals()
    TrainSet.__getitem__ = wait
    try:
        list(make(root, num_workers=2).train_dataloader())
    except SystemExit:
        time.sleep(60)


@pytest.fixture
def loading(root, tmp_path):
    """A process that loads, and the numbers of its workers."""
    process = multiprocessing.get_context("fork").Process(target=load, args=(root, tmp_path))
    process.start()
    until = time.monotonic() + 60
    while len(workers := [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]) < 2:
        assert time.monotonic() < until and process.is_alive()
        time.sleep(0.05)
    yield process, workers
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def test_workers_leave_signals_to_the_main_process(loading, tmp_path):
    """Ctrl-C in a terminal reaches them too."""
    process, workers = loading
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    assert all(map(_exists, workers)) and (tmp_path / "errors").read_text() == ""


def test_workers_exit_with_the_main_process(loading):
    """Also while they prepare a crop, when they do not wait for its next request."""
    process, workers = loading
    process.kill()
    until = time.monotonic() + 20
    while any(map(_exists, workers)):
        assert time.monotonic() < until
        time.sleep(0.05)
