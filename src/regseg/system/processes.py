"""Signal handling, closed output pipes, and child processes that exit together with their parent.

A termination signal raises an exception in the main process, so that the run is recorded as interrupted. Loader workers
and the other ranks of a distributed run ignore signals and exit when the main process exits.
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
from typing import Any, NoReturn

from regseg.system.startup import NAMES

_MAIN = "REGSEG_MAIN_PROCESS"
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_GRACE = 5.0  # seconds for the main process to end its workers after a signal to the process group
_AGAIN = 0.5  # seconds; a later signal counts as a second one (`timeout` sends the same signal twice at once)
_TIMEOUT = 10.0  # seconds for the main process to exit by itself after another rank has failed
WAIT_FOR_RANKS = 8.0  # seconds for another rank to report the error that this process only suffers from
_received: tuple[int, float] | None = None
_ending = False  # whether `end` was called, so that an exception of a signal has done its work
_ranks: list[subprocess.Popen[bytes]] = []


class Terminated(SystemExit):
    """Raised when a signal asks this process to exit; the exit status is 128 plus the signal's number.

    Where code discards it, as some libraries do with any error of an import, the signal is sent again.
    """

    def __del__(self) -> None:
        _send_again()


def set_up_main() -> None:
    """Set up signals and output of the process of a command; if it is a rank's process, call `set_up_rank`."""
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
    """Set up a process in which a launcher runs jobs of a sweep: it exits on signals and with the main process."""
    end_on_signals()
    guard_output()
    _end_with(os.getppid())


def set_up_descendant(main: int) -> None:
    """Set up a process in which a local queue runs a job: like `set_up_job`, but ``main`` is not its parent.

    When the process ``main`` has exited, this one ends as after SIGTERM, so that its run is recorded as interrupted.
    """
    end_on_signals()
    guard_output()

    def watch() -> None:
        while _exists(main):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_TIMEOUT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def set_up_rank(parent: int) -> None:
    """Set up a rank of a distributed run: it ignores signals and exits with the process ``parent`` that started it."""
    guard_output()
    leave_signals()
    if sys.platform == "linux":  # kills it at once, before it fails on the lost connection to its parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _end_with(parent)


def set_up_worker() -> None:
    """Set up a loader worker: it ignores signals and exits with its parent."""
    leave_signals()
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:  # None if called in the main process, as in a test
        _end_with(parent.pid)


def end_on_signals() -> None:
    """Raise `Terminated` in this process on SIGTERM, SIGINT or SIGHUP, and exit at once on a second signal."""
    for number in _unignored():
        signal.signal(number, _terminate)
    sys.unraisablehook = _unraisable


def leave_signals() -> None:
    """Leave signal handling to the parent, which receives the same signals and ends this process.

    If the parent does not end this process within a few seconds, it exits by itself. SIGUSR1 and SIGUSR2, by which
    Slurm announces the end of a job's time, are ignored.
    """
    for name in {"SIGUSR1", "SIGUSR2"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number in _unignored():
            signal.signal(number, lambda *_: signal.setitimer(signal.ITIMER_REAL, _GRACE))


def received() -> int | None:
    """Return the number of the signal that terminates this process; None if there was none."""
    return _received[0] if _received else None


def end(status: int) -> None:
    """Kill loader workers and spawned processes without printing messages about them, and exit with ``status``."""
    global _ending
    _ending = True
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        child.kill()
    for rank in _ranks:
        rank.kill()
    sys.exit(status)


def end_rank(status: int, sentence: str, *, first: bool) -> NoReturn:
    """Print the error message of a rank and exit, unless another process that knows the cause ends this one before.

    Args:
        status: the exit status.
        sentence: the message.
        first: whether the cause is known; otherwise the other processes go first.
    """
    time.sleep((1.5 if first else 1.5 * WAIT_FOR_RANKS) + 0.5 * int(os.environ.get("LOCAL_RANK", 0)))
    print(f"regseg: {sentence}", file=sys.stderr, flush=True)
    os._exit(status)  # at once, so that the main process sees it before it prints


def watch_ranks(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """Watch the other ranks in a thread, and exit if one fails while this process waits for it.

    It replaces Lightning's observer, which kills this process at once, before it can print the reason.

    Args:
        ranks: the processes of the other ranks.
    """
    _ranks[:] = ranks

    def watch() -> None:
        while not any(rank.poll() for rank in ranks):
            if all(rank.poll() == 0 for rank in ranks):
                return
            time.sleep(0.5)
        time.sleep(_TIMEOUT)
        status, sentence = failed_rank() or (1, None)
        if sentence:
            print(f"regseg: {sentence}", file=sys.stderr, flush=True)
        for rank in ranks:
            rank.kill()
        os._exit(status)

    threading.Thread(target=watch, daemon=True).start()


def watched_ranks() -> list[subprocess.Popen[bytes]]:
    """Return the processes of the other ranks, which may be removed from the list."""
    return _ranks


def failed_rank(wait: float = 0.0) -> tuple[int, str | None] | None:
    """Return the exit status and an error message of the first rank that failed.

    Args:
        wait: seconds to wait for a rank to fail.

    Returns:
        (exit status, message), or None if no rank failed. The message is None if the rank printed its error itself.
    """
    until = time.monotonic() + (wait if _ranks else 0.0)
    while not (failed := [rank.returncode for rank in _ranks if rank.poll()]) and time.monotonic() < until:
        time.sleep(0.05)
    if not failed:
        return None
    return (failed[0], None) if failed[0] > 0 else (1, killed_sentence(signal.Signals(-failed[0]).name))


def killed_sentence(name: str) -> str:
    """Return the error message for a rank that the signal ``name`` killed."""
    return (
        f"A process of the distributed run was killed by {name}, possibly by the system for lack of memory; reduce "
        "data.batch_size or data.num_workers."
    )


def guard_output() -> None:
    """Keep print from failing: unencodable characters are escaped, and output to a closed pipe is discarded."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or isinstance(getattr(stream.buffer, "raw", None), _Output):
            continue  # replaced by a test, missing, or already guarded
        with contextlib.suppress(OSError, ValueError):
            buffer = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
            stream.flush()
            at_once = stream.line_buffering or stream.write_through or name == "stderr"  # write_through: python -u
            guarded = io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=at_once)
            setattr(sys, name, guarded)


class _Output(io.FileIO):
    """A file descriptor that discards what is written after its reader has closed it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal was closed
                raise
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            return len(memoryview(data).cast("B"))


def _unignored() -> list[int]:
    """Return the termination signals, except those that are ignored under nohup or in the background of a shell."""
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _terminate(number: int, frame: FrameType | None) -> None:
    global _received
    if _received is None:
        _received = (number, time.monotonic())
        raise Terminated(128 + number)
    if time.monotonic() - _received[1] > _AGAIN:
        os._exit(128 + number)


def _unraisable(unraisable: Any) -> None:
    """Print nothing about a `Terminated` that Python discards, such as in a destructor: its signal is sent again."""
    if not isinstance(unraisable.exc_value, Terminated):
        sys.__unraisablehook__(unraisable)


def _send_again() -> None:
    """Send the received signal to this process again, a little later, unless the process is about to exit."""
    global _received
    if _received is None or _ending or sys.is_finalizing():
        return
    number, _received = _received[0], None
    timer = threading.Timer(0.1, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _exists(process: int) -> bool:
    """Whether a process runs; not if it has exited and its parent has not asked for its status yet."""
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # no /proc, or a process of another user
        return True


def _end_with(parent: int) -> None:
    """Exit this process when its parent process ``parent`` has exited."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    if hasattr(os, "getppid"):
        threading.Thread(target=watch, daemon=True).start()
