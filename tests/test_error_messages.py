"""Exceptions as one sentence with an exit status."""

import errno
import re
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from regseg.error_messages import explain


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (
            {"_target_": "torch.optim"},
            r"_target_=torch\.optim is not a class or a function; name one with its module",
        ),
        ({"_target_": None}, "_target_=None is not a class or a function"),
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
