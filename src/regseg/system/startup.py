"""Signals while a command starts. Imports almost nothing, because it is imported before all else."""

from __future__ import annotations

import os
import signal
import sys

NAMES = ("SIGTERM", "SIGINT", "SIGHUP")


def is_command() -> bool:
    """Whether Python imports this package in order to run ``python -m regseg…`` or the console script ``regseg``."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # while Python locates the module
        return any(text.removeprefix("-m").partition(".")[0] == "regseg" for text in sys.orig_argv[1:])
    return os.path.basename(program) in ("regseg", "regseg.exe")


def exit_on_signals() -> None:
    """Exit at once on SIGTERM, SIGINT or SIGHUP, with one sentence and the status 128 plus the signal's number.

    For the time in which a command has nothing to clean up: while its modules are imported, and after its work.
    """
    for name in NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def _exit(number: int, frame: object) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # another rank leaves the sentence to the first one
        os.write(2, b"regseg: interrupted.\n")
    os._exit(128 + number)
