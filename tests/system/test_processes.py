"""Child processes that exit with their parent."""

import time

import pytest
from child_processes import WAIT, started

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
