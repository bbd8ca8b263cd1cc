"""Termination signals: before a command runs they end it at once; afterwards they raise `Terminated`.

Thus a run is recorded as interrupted before its process exits. Loader workers and the other ranks of a distributed run
ignore the signals. `import regseg` imports this module first, so it imports only what Python itself has imported, or
small modules: neither `typing` nor `threading`.
"""

from __future__ import annotations

import os
import signal
import sys
import time

TYPE_CHECKING = False  # as type checkers know it from `typing`
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")  # the last one is Ctrl-Break on Windows
_WINDOWS = os.name == "nt"
_GRACE = 5.0  # seconds for the main process to end its workers after a signal to the process group
_AGAIN = 0.5  # seconds; a later signal counts as a second one (`timeout` sends the same signal twice at once)
_RANKS_OF_JOBS = ("SLURM_PROCID", "JSM_NAMESPACE_RANK")  # of Slurm's srun, and of LSF's jsrun
_received: tuple[int, float] | None = None
_owned = False  # whether this process was started as a command, so that it may be ended at once
_ending = False  # whether the process is exiting, so that a discarded `Terminated` is not sent again


class Terminated(SystemExit):
    """Raised when a signal asks this process to exit; the exit status is 128 plus the signal's number.

    If code discards it, as some libraries do with any error during an import, the signal is sent again.
    """

    def __del__(self) -> None:
        _send_again()


def is_command() -> bool:
    """Return whether Python imports this package to run ``python -m regseg…`` or the console script ``regseg``."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # while Python locates the module
        return any(text.removeprefix("-m").partition(".")[0] == "regseg" for text in sys.orig_argv[1:])
    return os.path.basename(program) in ("regseg", "regseg.exe")


def is_first() -> bool:
    """Return whether this is the first process of a distributed run, which prints for all, or the only one.

    On nodes other than the first, the first process has NODE_RANK; it has RANK only if torchrun started it.
    Under srun, torchruns agree on ranks of their own, which need not follow the order of Slurm's.
    """
    names = ["RANK"] if "TORCHELASTIC_RUN_ID" in os.environ else ["RANK", "LOCAL_RANK", "NODE_RANK", *_RANKS_OF_JOBS]
    return {os.environ.get(name, "0") for name in names} == {"0"}


def exit_on_signals() -> None:
    """Exit at once on SIGTERM, SIGINT or SIGHUP, with one sentence and the status 128 plus the signal's number.

    This is for times when a command has nothing to clean up: while its modules are imported, and after its work.
    """
    global _owned
    _owned = True
    for name in NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def _exit(number: int, frame: object) -> None:
    try:
        if is_first():
            os.write(2, b"regseg: interrupted.\n")
    finally:  # also where stderr is closed
        os._exit(128 + number)


def end_on_signals() -> None:
    """Raise `Terminated` in this process on SIGTERM, SIGINT or SIGHUP, and exit at once on a second signal."""
    for number in _unignored():
        signal.signal(number, _terminate)
    sys.unraisablehook = _unraisable


def leave_signals() -> None:
    """Leave signal handling to the parent, which receives the same signals and ends this process.

    If the parent does not end this process within a few seconds, it exits by itself. SIGUSR1 and SIGUSR2, with which
    Slurm announces the end of a job's time, are ignored.
    """
    for name in {"SIGUSR1", "SIGUSR2"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if not _WINDOWS:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number in _unignored():
            signal.signal(number, lambda *_: signal.setitimer(signal.ITIMER_REAL, _GRACE))
    else:  # there, Ctrl-C reaches all processes of a console; `_end_with` ends this one with its parent
        for number in _unignored():
            signal.signal(number, signal.SIG_IGN)


class Postponed:
    """A context in which signals do not raise exceptions; those that arrive are raised at its end.

    It is for libraries whose C++ code calls Python code: an exception there would abort the process. Only the main
    thread receives signals, so in other threads nothing is postponed.
    """

    def __enter__(self) -> None:
        import threading

        self._arrived: list[int] = []
        self._handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in _unignored():
                if callable(handler := signal.getsignal(number)):  # otherwise, the signal ends the process at once
                    self._handlers[number] = handler
                    signal.signal(number, lambda number, _: self._arrived.append(number))

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number in self._arrived[:1]:
            signal.raise_signal(number)


def received() -> int | None:
    """Return the number of the signal that terminates this process; None if there was none."""
    return _received[0] if _received else None


def is_owned() -> bool:
    """Return whether this process was started as a command; a test or a notebook may call a command, too."""
    return _owned


def leave_pending() -> None:
    """Let the process exit: a discarded `Terminated` is no longer sent again."""
    global _ending
    _ending = True


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
    import threading

    number, _received = _received[0], None
    if _WINDOWS:  # there, os.kill would end the process at once
        timer = threading.Timer(0.1, signal.raise_signal, (number,))
    else:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
