"""Exceptions as one sentence with an exit status."""

import errno
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

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


@pytest.mark.parametrize(("target", "shown"), [(None, "null"), (5, "5"), ([1], "[1]")])
def test_a_target_that_is_no_name_is_named(target, shown):
    with pytest.raises(InstantiationException) as caught:
        instantiate({"_target_": target})
    sentence = f"_target_={shown} is not the name of a class; remove it, or write package.module.Class."
    assert explain(caught.value) == (2, sentence)
