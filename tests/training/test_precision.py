"""Every precision of the Trainer trains and evaluates on a CPU; others are refused by name."""

import pytest
import torch
from tiny import train_tiny

import regseg
from regseg.errors import InputError
from regseg.training.losses import OHEM, CrossEntropy
from regseg.training.trainer import PRECISIONS, make_trainer

WEIGHTS = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64}


@pytest.mark.parametrize("precision", [*PRECISIONS, "64", 32])
def test_trains_and_evaluates(precision, streets_root, tmp_path):
    network = regseg.create_model(backbone=[[1]], decoder="sfnet")
    task, trainer = train_tiny(
        streets_root, tmp_path, network=network, precision=precision, max_epochs=1, limit_train_batches=1
    )
    assert next(network.parameters()).dtype == WEIGHTS.get(trainer.precision, torch.float32)
    assert task.confusion.counts.dtype == torch.int64
    assert 0 < trainer.callback_metrics["train/loss"] < 10
    assert 0 <= trainer.callback_metrics["val/miou"] <= 1


@pytest.mark.parametrize("precision", ["17-mixed", "fp16", "transformer-engine", 8])
def test_an_unknown_precision_is_reported_with_the_choices(precision, tmp_path):
    with pytest.raises(
        InputError, match=rf"^trainer\.precision={precision} does not exist.*; .*16-mixed, .*64-true\.$"
    ):
        make_trainer({"precision": precision}, tmp_path)


@pytest.mark.parametrize("loss", [CrossEntropy(), OHEM()])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_losses_of_low_precision_logits_do_not_overflow(loss, dtype):
    logits = torch.zeros(2, 19, 256, 256)
    labels = torch.zeros(2, 256, 256, dtype=torch.int64)
    value = loss(logits.to(dtype), labels)  # the sum of the pixel losses is 4e5, beyond float16
    assert value.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(value.float(), loss(logits, labels))
