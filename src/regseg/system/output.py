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
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = stream.buffer if isinstance(stream, io.TextIOWrapper) else None
        raw = getattr(buffer, "raw", buffer)  # python -u has no buffer
        # Windows consoles take all characters as UTF-16; written to their descriptor, UTF-8 would be garbled.
        if raw is None or isinstance(raw, _Output) or type(raw).__name__ == "_WindowsConsoleIO":
            continue  # replaced by a test, missing, already guarded, or such a console
        with contextlib.suppress(OSError, ValueError):
            output = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
            stream.flush()
            at_once = stream.line_buffering or stream.write_through or name == "stderr"  # write_through: python -u
            guarded = io.TextIOWrapper(output, stream.encoding, "backslashreplace", line_buffering=at_once)
            setattr(sys, name, guarded)


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
