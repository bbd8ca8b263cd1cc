"""Child processes that exit with their parent, and what processes of a distributed run print."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from child_processes import WAIT, job, started

from regseg.system import processes
from regseg.system.signals import is_first

CHILD = "import os\nfrom regseg.system import processes\nprocesses."


@pytest.mark.parametrize("child", ["set_up_rank(os.getppid())", "set_up_job()"])
def test_processes_exit_with_their_parent(child):
    child = CHILD + child + "\n" + WAIT
    code = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n"
    with started(code + "time.sleep(20)") as parent:
        parent.kill()
        since = time.monotonic()
        parent.stdout.read()  # until no process has the pipe open
        assert time.monotonic() - since < 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_new_process_for_a_measurement_leaves_ctrl_c_to_its_parent_and_exits_with_it(number):
    work = "import time; print('ready', flush=True); time.sleep(40)"
    lines = (
        f"import os\nfrom regseg.system.processes import in_new_process\nos.setsid()\nin_new_process(exec, {work!r})"
    )
    with started(job(lines)) as parent:
        if number == signal.SIGINT:  # as from a terminal, to all processes of the command
            os.killpg(parent.pid, number)
        else:
            parent.send_signal(number)
        since = time.monotonic()
        parent.stdout.read()  # until no process has the pipe open
        errors = parent.stderr.read()
    assert time.monotonic() - since < 20 and "Process Spawn" not in errors and "Traceback" not in errors
    assert parent.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)


WORKER = """
import concurrent.futures, multiprocessing, time
from regseg.system import processes
context = multiprocessing.get_context({method!r})
with concurrent.futures.ProcessPoolExecutor(1, context, processes.set_up_worker) as pool:
    print("ready", flush=True)
    pool.submit(time.sleep, 0.1).result()
    print("it works", flush=True)
    pool.submit(time.sleep, 20).result()
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_worker_lives_as_long_as_the_process_that_started_it(method):
    with started(WORKER.format(method=method)) as parent:
        assert parent.stdout.readline() == "it works\n", parent.stderr.read()
        parent.kill()
        since = time.monotonic()
        parent.stdout.read()  # until no process has the pipe open
        assert time.monotonic() - since < 10


@pytest.mark.parametrize("rank", [None, "RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"])
def test_only_the_first_process_prints(monkeypatch, capsys, rank):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        monkeypatch.setenv(name, "1" if name == rank else "0")
    with processes.printed_once():
        print("once")
    assert capsys.readouterr().out == ("" if rank else "once\n")


def test_torchrun_decides_which_process_is_the_first(monkeypatch):
    """Under srun, the node with its rank 0 may be any of Slurm's."""
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert is_first()
    monkeypatch.setenv("RANK", "8")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert not is_first()


def test_on_windows_a_process_waits_for_the_handle_of_its_parent(monkeypatch):
    """There, os.getppid returns the id of a parent that has ended too."""
    ended, exited, opened = threading.Event(), threading.Event(), []
    fake = SimpleNamespace(SYNCHRONIZE=0x100000, INFINITE=0xFFFFFFFF)
    fake.OpenProcess = lambda *arguments: opened.append(arguments) or 7
    fake.WaitForSingleObject = lambda handle, limit: ended.wait(20)
    monkeypatch.setitem(sys.modules, "_winapi", fake)
    monkeypatch.setattr(processes, "_WINDOWS", True)
    monkeypatch.setattr(processes.os, "_exit", lambda status: exited.set())
    processes._end_with(1234)
    assert not exited.wait(0.1)
    ended.set()
    assert exited.wait(20) and opened == [(0x100000, False, 1234)]
