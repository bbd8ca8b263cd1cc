"""Lightning's weight averaging in a run: what is evaluated, saved and continued."""

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from tiny import Calls, TinyNetwork, train_tiny

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference.torch_runtime import TorchRuntime


def checkpoint(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


class Average(EMAWeightAveraging):
    """Lightning's callback, which also computes the average itself."""

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        super().on_train_batch_end(trainer, pl_module, *arguments)
        weight = pl_module.network.conv.weight.detach().clone()
        self.by_hand = weight if trainer.global_step == 1 else 0.9 * self.by_hand + 0.1 * weight
        self.current = weight


def test_checkpoints_hold_the_average_that_was_evaluated(streets_root, tmp_path):
    average, evaluated = Average(decay=0.9), []
    at_evaluation = Calls(
        "on_validation_batch_start", lambda _, task: evaluated.append(task.network.conv.weight.clone())
    )
    task, _ = train_tiny(streets_root, tmp_path, callbacks=[average, at_evaluation])
    saved = checkpoint(tmp_path)["state_dict"]["network.conv.weight"]
    torch.testing.assert_close(saved, average.by_hand)
    assert not torch.equal(saved, average.current)
    assert torch.equal(evaluated[-1], saved) and torch.equal(task.network.conv.weight, saved)
    assert torch.equal(checkpoint(tmp_path)["current_model_state"]["network.conv.weight"], average.current)


def test_folded_weights_are_those_of_the_average(streets_root, tmp_path):
    """In bf16-mixed on a CPU, BatchNorm is folded for an evaluation: after the average has taken the weights' place."""
    folded = []
    look = Calls("on_validation_batch_start", lambda _, task: folded.append((task._folded, task.network)))
    network = regseg.create_model(backbone=[[1]])
    callbacks = [EMAWeightAveraging(decay=0.5), look]
    train_tiny(streets_root, tmp_path, network=network, callbacks=callbacks, precision="bf16-mixed", lr=0.5)
    runtime, averaged = folded[-1]
    expected = TorchRuntime(averaged, SPEC, "bf16", "cpu").network
    assert all(torch.equal(*pair) for pair in zip(runtime.network.parameters(), expected.parameters(), strict=True))


def test_a_resumed_run_continues_weights_and_average(streets_root, tmp_path):
    def train(folder, epochs, **more):
        train_tiny(streets_root, folder, callbacks=[EMAWeightAveraging(decay=0.9)], max_epochs=epochs, **more)
        return checkpoint(folder)

    whole = train(tmp_path / "whole", 3)

    class Cut(Exception):
        pass

    def cut(trainer, _):
        if trainer.current_epoch == 1:
            raise Cut

    with pytest.raises(Cut):
        train_tiny(
            streets_root, tmp_path / "cut", max_epochs=3,
            callbacks=[EMAWeightAveraging(decay=0.9), Calls("on_train_epoch_start", cut)],
        )  # fmt: skip
    resumed = train(tmp_path / "cut", 3, ckpt_path=tmp_path / "cut" / "checkpoints" / "last.ckpt")
    for part in ("state_dict", "current_model_state"):
        for name, value in whole[part].items():
            assert torch.equal(resumed[part][name], value), (part, name)


def test_weights_that_are_not_finite_stop_an_averaged_run(streets_root, tmp_path):
    def poison(network, logits, batch):
        return logits * float("nan") if batch == 5 else logits

    with pytest.raises(InputError, match="The loss is nan at iteration 5"):
        train_tiny(streets_root, tmp_path, network=TinyNetwork(poison), callbacks=[EMAWeightAveraging(decay=0.9)])
    assert all(value.isfinite().all() for value in checkpoint(tmp_path)["state_dict"].values())
