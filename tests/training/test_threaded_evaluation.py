"""Evaluation in threads gives what Lightning's loop gives, image by image."""

import contextlib
import threading

import numpy as np
import pytest
import torch
from tiny import train_tiny

from regseg.errors import InputError
from regseg.evaluate import validate
from regseg.training import threaded_evaluation
from regseg.training.threaded_evaluation import PREDICTION, PredictedImages
from regseg.training.trainer import make_trainer


class Images:
    """Five images of one value each; the fourth may be broken."""

    def __init__(self, broken=False):
        self.broken = broken

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if self.broken and index == 3:
            raise InputError("3.png is not a readable image.")
        return {"image": np.full((4, 6, 3), index, np.uint8), "label": np.zeros((2, 3), np.uint8), "name": str(index)}


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(threaded_evaluation, "images_at_once", lambda: 3)


def predict(images, size):
    assert torch.is_inference_mode_enabled()
    return images[:, :1, :1, 0].expand(1, *size)


def test_batches_come_in_order_with_their_predictions():
    batches = list(PredictedImages(Images(), predict, contextlib.nullcontext))
    assert [batch["name"] for batch in batches] == [[str(index)] for index in range(5)]
    assert [batch[PREDICTION][0].unique().tolist() for batch in batches] == [[index] for index in range(5)]


def test_batches_of_several_images():
    batches = PredictedImages(Images(), predict, contextlib.nullcontext, batch_size=2)
    assert [batch["name"] for batch in batches] == [["0", "1"], ["2", "3"], ["4"]] and len(batches) == 3
    assert [image.shape for batch in batches for image in batch[PREDICTION]] == 5 * [(2, 3)]


def test_threads_end_when_the_consumer_stops():
    batches = iter(PredictedImages(Images(), predict, contextlib.nullcontext))
    next(batches)
    batches.close()
    assert not any(thread.name.startswith("regseg-evaluation") for thread in threading.enumerate())


@pytest.mark.parametrize("broken", [False, True])
def test_the_consumer_computes_with_one_thread_until_the_end(broken):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        batches = PredictedImages(Images(broken), predict, contextlib.nullcontext)
        with pytest.raises(InputError) if broken else contextlib.nullcontext():
            assert {torch.get_num_threads() for _ in batches} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_error_of_a_thread_is_raised_after_the_images_before_it():
    batches = iter(PredictedImages(Images(broken=True), predict, contextlib.nullcontext))
    assert [next(batches)["name"] for _ in range(3)] == [["0"], ["1"], ["2"]]
    with pytest.raises(InputError, match=r"3\.png"):
        next(batches)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_matrix_is_that_of_lightnings_loop(precision, streets_root, tmp_path):
    task, trainer = train_tiny(streets_root, tmp_path, precision=precision, max_epochs=1, limit_train_batches=1)
    data = trainer.datamodule
    options = {"accelerator": "cpu", "precision": precision}
    make_trainer(options, tmp_path).validate(task, data, verbose=False)
    counts = [task.counts]
    validate(make_trainer(options, tmp_path), task, data)
    counts.append(task.counts)
    assert torch.equal(*counts) and counts[0].sum() > 0
    assert task._folded is None and not any("_folded" in name for name in task.state_dict())


def test_a_precision_that_changes_the_default_dtype_leaves_it_as_it_was(streets_root, tmp_path):
    """PyTorch's default dtype belongs to all threads, so that such an evaluation runs in one."""
    task, trainer = train_tiny(streets_root, tmp_path, max_epochs=1, limit_train_batches=1)
    validate(make_trainer({"accelerator": "cpu", "precision": "bf16-true"}, tmp_path), task, trainer.datamodule)
    assert task.counts.sum() > 0 and torch.get_default_dtype() == torch.float32
