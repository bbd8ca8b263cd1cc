"""Signals, child processes that exit with their parent, and output that nobody reads."""

import os
import signal
import subprocess
import sys
import time

import pytest
from child_processes import WAIT, job, started

CHILD = "import os\nfrom regseg.system import processes\nprocesses."


def test_a_second_signal_exits_at_once_but_a_duplicate_does_not():
    stubborn = "try:\n" + "".join(f"    {line}\n" for line in WAIT.splitlines()) + "finally: time.sleep(20)\n"
    with started(job(stubborn)) as process:
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 143


def test_a_signal_in_a_finalizer_is_not_lost():
    code = job("import gc, time\nclass A:\n    def __del__(self):\n        print('ready', flush=True); time.sleep(2)\n"
               "a = A(); del a\ntime.sleep(20)")  # fmt: skip
    with started(code) as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=15)
    assert process.returncode == 143 and "Traceback" not in errors


def test_ignored_signals_stay_ignored():
    code = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + job(WAIT)  # nohup
    with started(code) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)


def test_workers_and_ranks_leave_signals_to_their_parent():
    with started(CHILD + "set_up_rank(os.getppid())\nprocesses._GRACE = 1.0\n" + WAIT) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None  # its parent ends it, or it ends itself
        assert process.wait(timeout=10) == -signal.SIGALRM
        assert process.stderr.read() == ""


@pytest.mark.parametrize("child", ["set_up_rank(os.getppid())", "set_up_job()"])
def test_processes_exit_with_their_parent(child):
    child = CHILD + child + "\n" + WAIT
    code = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n"
    with started(code + "time.sleep(20)") as parent:
        parent.kill()
        since = time.monotonic()
        parent.stdout.read()  # until no process has the pipe open
        assert time.monotonic() - since < 10


@pytest.mark.parametrize("printer", ["print('é', 'a' * 9999, flush=True)", "rich.console.Console().print('é' * 99)"])
def test_output_to_a_closed_pipe_is_discarded(printer, tmp_path):
    code = job(
        "import rich.console, time\nprint('ready', flush=True); time.sleep(1)\n"
        f"for _ in range(9): {printer}\nopen('end', 'w').close()"
    )
    shell = ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -n 1', sys.executable, code]
    result = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ready\n", "") and (tmp_path / "end").exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_name_is_printed_in_any_encoding(encoding):
    code = job(
        "import rich.console, rich.table\ntable = rich.table.Table()\ntable.add_column('\\u5e97\\udce9')\n"
        "rich.console.Console().print(table)\nprint('caf\\xe9 \\u5e97 \\udce9')\nraise SystemExit(5)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60)
    assert result.returncode == 5 and result.stdout.decode(encoding).splitlines()[-1].endswith("\\u5e97 \\udce9")
