"""Exceptions as one sentence with an exit status."""

import errno

import pytest
from torch.distributed import DistBackendError, DistStoreError

from regseg.error_messages import explain
from regseg.errors import message


def test_unwritable_or_full_paths_are_named():
    unwritable, full = (
        PermissionError(errno.EACCES, "Permission denied", "runs"),
        OSError(errno.ENOSPC, "No space left"),
    )
    assert explain(unwritable)[0] == 2 and explain(unwritable)[1].startswith("runs cannot be read or wr")
    assert explain(full)[0] == 1 and "No space left" in explain(full)[1]
    assert explain(FileNotFoundError(errno.ENOENT, "No such file", "of ours")) is None
    for number in (errno.EIO, errno.ESTALE):  # of a failing disk, and of a file server that is gone
        status, sentence = explain(OSError(number, "Input/output error", "runs/summary.json"))
        assert status == 1 and sentence.startswith("runs/summary.json cannot be read or written")
    assert explain(OSError(errno.ETIMEDOUT, "of a connection")) is None
    invalid = OSError(errno.EINVAL, "Invalid argument", "runs/a:b")  # on Windows, and on its file systems
    assert explain(invalid)[0] == 2 and "runs/a:b cannot be" in explain(invalid)[1] and "name" in explain(invalid)[1]
    assert explain(OSError(errno.EINVAL, "Invalid argument")) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("[/x/third_party/gloo/pair.cc:553] Connection closed by peer [10.0.0.2]:1."), "closed by peer"),
        (RuntimeError("[/x/third_party/gloo/pair.cc:537] Read error: Connection reset by peer."), "reset by peer"),
        (DistBackendError("NCCL error: remote process exited or there was a network error"), "remote process exited"),
        (DistStoreError("Timed out after 1801 seconds waiting for clients. 1/2 clients joined."), "Timed out"),
    ],
)
def test_a_process_of_another_machine_that_ended_is_one_sentence(error, reason):
    status, sentence = explain(error)
    assert status == 1 and reason in sentence and sentence.count(". ") == 0
    assert message(error) == sentence  # in the run's summary
    assert explain(RuntimeError("gloo")) is None and explain(RuntimeError("Connection closed by peer")) is None
