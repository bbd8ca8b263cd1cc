"""The processes of a command: loader workers, ranks of a distributed run, and jobs, which exit with their parent."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from multiprocessing import resource_tracker
from typing import Any, NoReturn, TypeVar

from regseg.system.output import guard_output
from regseg.system.signals import end_on_signals, is_first, is_owned, leave_pending, leave_signals

T = TypeVar("T")
_WINDOWS = os.name == "nt"
_MAIN = "REGSEG_MAIN_PROCESS"
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_TIMEOUT = 10.0  # seconds for the main process to exit by itself after another rank has failed
WAIT_FOR_RANKS = 8.0  # seconds for another rank to report the cause of this process's error
_ranks: list[subprocess.Popen[bytes]] = []


def set_up_main() -> None:
    """Set up signals and output of the process of a command; if it is a rank's process, call `set_up_rank`."""
    if is_rank():
        set_up_rank(os.getppid())
    else:
        os.environ[_MAIN] = str(os.getpid())
        end_on_signals()
    guard_output()


def is_rank() -> bool:
    """Return whether the main process of a distributed run started this one with the same command."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and os.environ.get(_MAIN) == str(os.getppid())


def printed_once() -> AbstractContextManager[Any]:
    """Return a context that discards the output of all processes of a distributed run but the first."""
    return contextlib.nullcontext() if is_first() else contextlib.redirect_stdout(io.StringIO())


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
    _end_with_parent()


def in_new_process(function: Callable[..., T], *arguments: Any) -> T:
    """Return ``function(*arguments)`` from a new process, which leaves Ctrl-C to this one and exits with it."""
    with _ctrl_c_blocked():  # the new process inherits it
        pool = multiprocessing.get_context("spawn").Pool(1, _end_with_parent)
    with pool:
        return pool.apply(function, arguments)


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # its start unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end(status: int) -> None:
    """Kill loader workers and spawned processes without printing messages about them, and exit with ``status``."""
    leave_pending()
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        child.kill()
    for rank in _ranks:
        rank.kill()
    sys.exit(status)


def end_now(status: int) -> None:
    """`end`, but in the process of a command without waiting for its threads: one may compile a kernel for seconds."""
    try:
        end(status)
    finally:
        if is_owned():
            with contextlib.suppress(BaseException):
                atexit._run_exitfuncs()
                sys.stdout.flush()
            os._exit(status)


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
        f"A process of the distributed run was killed by {name}, possibly because memory ran out; reduce "
        "data.batch_size or data.num_workers."
    )


def _exists(process: int) -> bool:
    """Return whether a process runs; False if it has exited but its parent has not collected its status yet."""
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # no /proc, or a process of another user
        return True


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:  # None if called in the main process, as in a test
        _end_with(parent.pid)


def _end_with(parent: int) -> None:
    """Exit this process when the process ``parent`` that started it has exited."""

    def watch() -> None:
        if _WINDOWS:
            _wait_for_handle(parent)
        # The system's parent is the fork server if that started this process, as by default on Linux from Python 3.14.
        is_child = os.getppid() == parent
        while not _WINDOWS and (os.getppid() == parent if is_child else _exists(parent)):
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _wait_for_handle(process: int) -> None:
    """Wait until a process has ended, on Windows, where os.getppid returns the id of an ended parent too."""
    import _winapi

    windows: Any = _winapi
    with contextlib.suppress(OSError):  # it has ended already
        handle = windows.OpenProcess(windows.SYNCHRONIZE, False, process)
        windows.WaitForSingleObject(handle, windows.INFINITE)
