"""Output that does not make print fail: to a closed pipe, or in an encoding that lacks a character."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any

_ERRORS = 2  # the descriptor of stderr


def guard_output() -> None:
    """Make print safe and prompt.

    Unencodable characters are escaped, output that nothing can receive is discarded, and each line is written at once.
    """
    _replace_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = stream.buffer if isinstance(stream, io.TextIOWrapper) else None
        raw = getattr(buffer, "raw", buffer)  # python -u has no buffer
        # Windows consoles take all characters as UTF-16; written to their descriptor, UTF-8 would be garbled.
        if raw is None or isinstance(raw, _Output) or type(raw).__name__ == "_WindowsConsoleIO":
            continue  # replaced by a test, already guarded, or such a console
        with contextlib.suppress(OSError, ValueError):
            output = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
            stream.flush()
            # A pipe or a log file gets each line at once, too: the first epoch may take an hour.
            guarded = io.TextIOWrapper(output, stream.encoding, "backslashreplace", line_buffering=True)
            setattr(sys, name, guarded)


def _replace_closed() -> None:
    """Replace the streams that are None because they were closed before Python started, as by ``>&-`` in a shell.

    Their descriptors are opened, too: otherwise, the next file to be opened would receive what libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nothing = open(os.devnull, "w" if number else "r", encoding="utf-8")  # noqa: SIM115  # open until the end
            setattr(sys, name, nothing)
            setattr(sys, f"__{name}__", nothing)  # keeps it open after `guard_output` has replaced the other
            if nothing.fileno() == number:
                os.set_inheritable(number, True)  # for the programs that this process starts
                continue
            try:
                os.fstat(number)
            except OSError:
                os.dup2(nothing.fileno(), number)


class _Output(io.FileIO):
    """A file descriptor that discards what is written after its reader has closed it, or after its disk is full.

    A full disk raises OSError once, but not for error messages, nor again while Python exits.
    """

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            if error.errno not in (errno.EPIPE, errno.EIO) and self.fileno() != _ERRORS:  # EIO: a closed terminal
                raise OSError(error.errno, error.strerror, "The output") from error
            return len(memoryview(data).cast("B"))
