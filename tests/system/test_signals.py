"""Termination signals."""

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from child_processes import WAIT, job, started

from regseg.system import signals

SLEEP = "for _ in range(10): time.sleep(0.1)"
CHILD = "import os\nfrom regseg.system import processes, signals\nprocesses."


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


def test_signals_are_postponed(ctrl_c):
    done = []
    with pytest.raises(KeyboardInterrupt), signals.Postponed():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the handler had its turn")
    assert len(done) == 2


def test_a_postponed_signal_ends_a_command():
    code = (
        f"from regseg.system.signals import Postponed\nwith Postponed():\n    print('ready', flush=True)\n    {SLEEP}"
    )
    with started(job(f"import time\n{code}\n    print('done', flush=True)\n{SLEEP}")) as process:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 143 and output == "done\n" and errors.count("interrupted") == 1


def test_in_other_threads_nothing_is_postponed(ctrl_c):
    with signals.Postponed(), ThreadPoolExecutor(1) as pool:
        before = signal.getsignal(signal.SIGINT)

        def handler():
            with signals.Postponed():
                return signal.getsignal(signal.SIGINT)

        assert pool.submit(handler).result() is before


def test_ignored_signals_stay_ignored():
    code = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + job(WAIT)  # nohup
    with started(code) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)


def test_workers_and_ranks_leave_signals_to_their_parent():
    with started(CHILD + "set_up_rank(os.getppid())\nsignals._GRACE = 1.0\n" + WAIT) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None  # its parent ends it, or it ends itself
        assert process.wait(timeout=10) == -signal.SIGALRM
        assert process.stderr.read() == ""


def test_on_windows_workers_ignore_ctrl_c_and_a_signal_is_raised_again_without_os_kill(monkeypatch):
    """There, Ctrl-C reaches all processes of a console, and os.kill ends a process whatever the signal."""
    handlers, raised = {}, threading.Event()
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)  # nohup and & ignore some
    monkeypatch.setattr(signals, "_WINDOWS", True)
    monkeypatch.setattr(signals, "_ending", False)  # as in a process that has not begun to exit
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers.update({number: handler}))
    signals.leave_signals()
    assert handlers[signal.SIGINT] is signal.SIG_IGN
    monkeypatch.setattr(signal, "raise_signal", lambda number: raised.set())
    monkeypatch.setattr(signals, "_received", (signal.SIGINT, 0.0))
    monkeypatch.setattr(os, "kill", None)
    signals._send_again()
    assert raised.wait(20)
