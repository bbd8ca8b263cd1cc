"""Exceptions as one sentence with an exit status."""

import errno
from pathlib import Path

import pytest

from regseg.error_messages import explain


def test_unwritable_or_full_paths_are_named():
    unwritable, full = (
        PermissionError(errno.EACCES, "Permission denied", "runs"),
        OSError(errno.ENOSPC, "No space left"),
    )
    assert explain(unwritable)[0] == 2 and explain(unwritable)[1].startswith("runs cannot be read or wr")
    assert explain(full)[0] == 1 and "No space left" in explain(full)[1]
    assert explain(FileNotFoundError(errno.ENOENT, "No such file", "of ours")) is None
    with pytest.raises(FileNotFoundError) as refused:
        Path("/proc/regseg/out").mkdir(parents=True)  # which is not a file system for files
    assert explain(refused.value)[0] == 2 and explain(refused.value)[1].startswith("/proc/regseg cannot be read or wr")
    for number in (errno.EIO, errno.ESTALE):  # of a failing disk, and of a file server that is gone
        status, sentence = explain(OSError(number, "Input/output error", "runs/summary.json"))
        assert status == 1 and sentence.startswith("runs/summary.json cannot be read or written")
    assert explain(OSError(errno.ETIMEDOUT, "of a connection")) is None
