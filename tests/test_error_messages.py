"""Exceptions as one sentence with an exit status."""

import errno
import re
from pathlib import Path

import cv2
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch.distributed import DistBackendError, DistStoreError
from torch.multiprocessing import ProcessRaisedException

from regseg.error_messages import explain
from regseg.errors import message


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (
            {"_target_": "torch.optim"},
            r"_target_=torch\.optim is not a class or a function; name one with its module",
        ),
        ({"_target_": "os.system", "_partial_": True}, "_target_=os.system is refused, because it could run any code;"),
        ({"_target_": "torch.nn.ReLU", "_partial_": "x"}, "_partial_ flag must be a bool"),
        (
            {"_target_": "lightning.pytorch.callbacks.EMAWeightAveraging", "decay": 2},
            "EMAWeightAveraging refuses its opt",
        ),
        ({"_target_": "torch.nn.Softplus", "betas": 2}, "unexpected keyword argument 'betas'"),
    ],
)
def test_nodes_that_cannot_be_created(node, sentence):
    with pytest.raises((InstantiationException, TypeError)) as caught:
        instantiate(node)
    status, text = explain(caught.value)
    assert status == 2 and re.search(sentence, text) and "\n" not in text
    own = InstantiationException("Error in call to target 'mine.Loss':\nValueError('x')")
    own.__cause__ = ValueError("x")  # a bug in a user's own class keeps its trace
    assert explain(own) is None


def test_unwritable_or_full_paths_are_named():
    unwritable, full = (
        PermissionError(errno.EACCES, "Permission denied", "runs"),
        OSError(errno.ENOSPC, "No space left"),
    )
    assert explain(unwritable)[0] == 2 and explain(unwritable)[1].startswith("runs cannot be read or wr")
    assert explain(full)[0] == 1 and "No space left" in explain(full)[1]
    assert explain(FileNotFoundError(errno.ENOENT, "No such file", "of ours")) is None
    with pytest.raises(FileNotFoundError) as refused:
        Path("/proc/regseg/out").mkdir(parents=True)  # where no folder can be created
    assert explain(refused.value)[0] == 2 and explain(refused.value)[1].startswith("/proc/regseg cannot be read or wr")
    for number in (errno.EISDIR, errno.ELOOP):  # a folder, or a link to itself, in place of a file
        status, sentence = explain(OSError(number, "Is a directory", "runs/summary.json"))
        assert status == 2 and sentence.startswith("runs/summary.json cannot be read or written (Is a directory)")
    for number in (errno.EIO, errno.ESTALE):  # of a failing disk, and of a file server that is gone
        status, sentence = explain(OSError(number, "Input/output error", "runs/summary.json"))
        assert status == 1 and sentence.startswith("runs/summary.json cannot be read or written")
    assert explain(OSError(errno.ETIMEDOUT, "of a connection")) is None


@pytest.mark.parametrize(("target", "shown"), [(None, "null"), (5, "5"), ([1], "[1]")])
def test_a_target_that_is_not_a_name_is_named(target, shown):
    with pytest.raises(InstantiationException) as caught:
        instantiate({"_target_": target})
    sentence = f"_target_={shown} is not a class or a function; name one with its module, such as torch.optim.SGD."
    assert explain(caught.value) == (2, sentence)


def test_a_name_that_a_file_system_refuses():
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


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has …"), "the GPU"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "the GPU"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "this machine"),
        (cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate"), "this machine"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "this machine"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you"), "this machine"),
        (MemoryError(), "this machine"),
        (ProcessRaisedException("\n\ntorch.OutOfMemoryError: CUDA out of memory.", 1, 9), "the GPU"),
    ],
)
def test_a_lack_of_memory_is_one_sentence(error, place):
    status, sentence = explain(error)
    assert status == 1 and sentence.startswith(f"The memory of {place} ran out; lower the batch size")
    assert message(error) == sentence  # in the run's summary
