"""Signals, output whose reader goes away, and processes that end with the one that started them.

The main process ends by an exception when a signal asks for it, so that a run's record tells of it. Its loader workers
and the other processes of a distributed run leave signals to it, and end with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

_MAIN = "REGSEG_MAIN_PROCESS"
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_GRACE = 5.0  # seconds in which the main process ends its workers after a signal to all
_AGAIN = 0.5  # seconds after which a signal is a second one; `timeout` sends one twice at once
_PATIENCE = 10.0  # seconds for the main process to end by itself when a process of a distributed run has failed
_received: tuple[int, float] | None = None
_ranks: list[subprocess.Popen[bytes]] = []


class Terminated(SystemExit):
    """Raised when a signal asks this process to exit; the exit status is 128 and the signal's number."""


def set_up_main() -> None:
    """Set up the process of a command: signals, output; or, if the command is a rank's, what a rank needs."""
    if is_rank():
        set_up_rank(os.getppid())
    else:
        os.environ[_MAIN] = str(os.getpid())
        end_on_signals()
    guard_output()


def is_rank() -> bool:
    """Whether the main process of a distributed run started this one by the same command."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and os.environ.get(_MAIN) == str(os.getppid())


def set_up_job() -> None:
    """Set up a process in which a launcher runs jobs of a sweep: it ends on signals, and with the main process."""
    end_on_signals()
    guard_output()
    _end_with(os.getppid())


def set_up_rank(parent: int) -> None:
    """Set up another process of a distributed run, which ``parent`` started: it ends with it, and by it."""
    guard_output()
    leave_signals()
    if sys.platform == "linux":  # at once, before it misses the connection to its parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _end_with(parent)


def set_up_worker() -> None:
    """Set up a loader worker: signals are its parent's, with which it ends."""
    leave_signals()
    parent = multiprocessing.parent_process()
    if parent is not None:  # None where a test calls this
        _end_with(parent.pid)


def end_on_signals() -> None:
    """Raise `Terminated` in this process at SIGTERM, SIGINT and SIGHUP, and end at once at a second one."""
    for number in _unignored():
        signal.signal(number, _terminate)
    sys.unraisablehook = _unraisable


def leave_signals() -> None:
    """Leave signals to the parent, which gets them too when a job or a terminal ends, and ends this process.

    A process that its parent does not end within some seconds ends by itself. The signals by which Slurm warns before a
    job's time is over are ignored.
    """
    for name in {"SIGUSR1", "SIGUSR2"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number in _unignored():
            signal.signal(number, lambda *_: signal.setitimer(signal.ITIMER_REAL, _GRACE))


def received() -> int | None:
    """The number of the signal that ends this process; None if there was none."""
    return _received[0] if _received else None


def end(status: int) -> None:
    """Exit with ``status`` without waiting for loader workers and spawned processes, nor telling of their end."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        child.kill()
    sys.exit(status)


def watch_ranks(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Watch the other processes of a distributed run; end this one if one fails and this one waits for it forever.

    It stands in for Lightning's observer, which kills this process at once, before it can say why.
    """
    _ranks[:] = ranks

    def watch() -> None:
        while not any(rank.poll() for rank in ranks):
            if all(rank.poll() == 0 for rank in ranks):
                return
            time.sleep(0.5)
        time.sleep(_PATIENCE)
        status, sentence = failed_rank() or (1, None)
        if sentence:
            print(f"regseg: {sentence}", file=sys.stderr, flush=True)
        for rank in ranks:
            rank.kill()
        os._exit(status)

    threading.Thread(target=watch, daemon=True).start()


def failed_rank(wait: float = 0.0) -> tuple[int, str | None] | None:
    """(exit status, sentence) of the first rank that failed, or does so within ``wait`` seconds; None if none did.

    The sentence is None where the process itself told of its error.
    """
    until = time.monotonic() + (wait if _ranks else 0.0)
    while not (failed := [rank.returncode for rank in _ranks if rank.poll()]) and time.monotonic() < until:
        time.sleep(0.05)
    if not failed:
        return None
    return (failed[0], None) if failed[0] > 0 else (1, killed_sentence(signal.Signals(-failed[0]).name))


def killed_sentence(name: str) -> str:
    """What is said of a process of a distributed run that the signal ``name`` ended."""
    return (
        f"A process of the distributed run was ended by {name}, perhaps by the system for lack of memory; lower "
        "data.batch_size or data.num_workers."
    )


def guard_output() -> None:
    """Let no print fail: characters that the terminal lacks are escaped, and a closed pipe swallows the rest."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or isinstance(getattr(stream.buffer, "raw", None), _Output):
            continue  # a test's, or none at all
        with contextlib.suppress(OSError, ValueError):
            buffer = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
            stream.flush()
            at_once = stream.line_buffering or stream.write_through or name == "stderr"  # write_through: python -u
            options = {"encoding": stream.encoding, "line_buffering": at_once}
            setattr(sys, name, io.TextIOWrapper(buffer, errors="backslashreplace", **options))


class _Output(io.FileIO):
    """A file descriptor that takes what is written when nobody reads it any more."""

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: of a terminal that was closed
                raise
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            return len(memoryview(data).cast("B"))


def _unignored() -> list[int]:
    """The signals that end a process, but for those that nohup or a shell's background let it ignore."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _terminate(number: int, frame: FrameType | None) -> None:
    global _received
    if _received is None:
        _received = (number, time.monotonic())
        raise Terminated(128 + number)
    if time.monotonic() - _received[1] > _AGAIN:
        os._exit(128 + number)


def _unraisable(unraisable: Any) -> None:
    """Re-send the signal whose exception was swallowed where Python cannot raise, such as a loader's destructor."""
    global _received
    if isinstance(unraisable.exc_value, Terminated) and _received is not None:
        number, _received = _received[0], None
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
    else:
        sys.__unraisablehook__(unraisable)


def _end_with(parent: int) -> None:
    """End this process when ``parent``, which started it, has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    if hasattr(os, "getppid"):
        threading.Thread(target=watch, daemon=True).start()
