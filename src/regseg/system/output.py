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
    """Keep print from failing: unencodable characters are escaped, and output to a closed pipe is discarded."""
    for number, name in ((1, "stdout"), (_ERRORS, "stderr")):
        if getattr(sys, name) is None:  # closed before Python started, as with >&-
            occupy(number)
            nothing = io.BufferedWriter(_Output(os.devnull, "w"))
            setattr(sys, name, io.TextIOWrapper(nothing, "utf-8", "backslashreplace"))
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or isinstance(getattr(stream.buffer, "raw", None), _Output):
            continue  # replaced by a test, or already guarded
        with contextlib.suppress(OSError, ValueError):
            buffer = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
            stream.flush()
            at_once = stream.line_buffering or stream.write_through or name == "stderr"  # write_through: python -u
            guarded = io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=at_once)
            setattr(sys, name, guarded)


def occupy(descriptor: int) -> None:
    """Open the null device as ``descriptor`` if that is closed; otherwise the next file that is opened would get it."""
    try:
        os.fstat(descriptor)
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)


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
