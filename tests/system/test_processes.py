"""Child processes that exit with their parent, and what processes of a distributed run print."""

import time

import pytest
from child_processes import WAIT, started

from regseg.system import processes

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


@pytest.mark.parametrize("rank", [None, "RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_only_the_first_process_prints(monkeypatch, capsys, rank):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.setenv(name, "1" if name == rank else "0")
    with processes.printed_once():
        print("once")
    assert capsys.readouterr().out == ("" if rank else "once\n")
