"""Losses, gradients and weights that are not finite: what is skipped, what stops, and what is never saved."""

from functools import partial

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from tiny import Calls, TinyNetwork, tiny_data, train_tiny

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.models.finite import first_not_finite
from regseg.run_dir import read_metrics, read_summary
from regseg.training import finite_steps
from regseg.training.finite_steps import MOST_SKIPPED
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer

NAN, INF = float("nan"), float("inf")
TWO_IMAGES = r"_leftImg8bit\.png, .*_leftImg8bit\.png; lower optimizer\.lr"


def loss_in(*batches, value=NAN):
    return lambda network, logits, batch: logits * value if batch in batches else logits


def gradient_in(*batches):
    """Finite losses whose gradient is NaN: that of a square root at 0, times 0."""
    return lambda network, logits, batch: logits + (torch.sqrt(logits * 0) if batch in batches else 0)


def steep(network, logits, batch):
    return logits * 1e3


def with_scaler(**more):
    """16-mixed, which scales the loss, even on a CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    return {"precision": None, "plugins": [MixedPrecision("16-mixed", "cpu", scaler)], **more}


def count(made):
    return lambda trainer, module: made.append(trainer.global_step)


def assert_failed(folder, rows):
    summary = read_summary(folder)
    assert summary["status"] == "failed" and len(read_metrics(folder)) == rows
    assert (summary["best"] is None) == (rows == 0)
    paths = list((folder / "checkpoints").glob("*.ckpt"))
    assert bool(paths) == (rows > 0)
    for path in paths:
        assert first_not_finite(torch.load(path, weights_only=True)["state_dict"]) is None


@pytest.fixture
def behind(monkeypatch):
    """Read flags as on a GPU, one step later."""
    monkeypatch.setattr(finite_steps, "runs_behind", lambda device: True)


@pytest.fixture(params=["cpu", "gpu"])
def either(request):
    """Both on a CPU and as on a GPU."""
    if request.param == "gpu":
        request.getfixturevalue("behind")


@pytest.mark.parametrize("change", [loss_in(1), gradient_in(1)], ids=["loss", "gradients"])
def test_without_a_scaler_the_step_is_not_made(change, streets_root, tmp_path):
    seen = {}

    def keep(network, logits, batch):
        if batch == 1:
            seen.update({name: value.clone() for name, value in network.named_parameters()})
        return change(network, logits, batch)

    network = TinyNetwork(keep)
    with pytest.raises(InputError, match=f"(is nan|not finite) at iteration 1 .*{TWO_IMAGES}"):
        train_tiny(streets_root, tmp_path, network=network)
    assert all(torch.equal(value, seen[name]) for name, value in network.named_parameters())
    assert_failed(tmp_path, rows=0)


@pytest.mark.parametrize("change", [loss_in(1), gradient_in(1)], ids=["loss", "gradients"])
def test_a_gpu_stops_one_step_later_and_names_the_same_images(change, streets_root, tmp_path, behind):
    def told(folder):
        made = []
        with pytest.raises(InputError, match=f"(is nan|not finite) at iteration 1 .*{TWO_IMAGES}") as error:
            train_tiny(streets_root, folder, change=change, callbacks=[Calls("on_train_batch_end", count(made))])
        assert_failed(folder, rows=0)
        return str(error.value), len(made)

    late = told(tmp_path / "late")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finite_steps, "runs_behind", lambda device: False)
        at_once = told(tmp_path / "at_once")
    assert late == (at_once[0], at_once[1] + 1)


@pytest.mark.parametrize("change", [loss_in(3), gradient_in(3)], ids=["loss", "gradients"])
def test_a_gpu_stops_before_the_end_of_the_epoch(change, streets_root, tmp_path, behind):
    """Batch 3 is the last of the epoch: nothing is evaluated or saved before its flags are read."""
    with pytest.raises(InputError, match=f"(is nan|not finite) at iteration 3 .*epoch 0.*{TWO_IMAGES}"):
        train_tiny(streets_root, tmp_path, change=change)
    assert_failed(tmp_path, rows=0)


@pytest.mark.parametrize("change", [loss_in(1, 2), gradient_in(1, 2)], ids=["loss", "gradients"])
def test_with_a_scaler_the_step_is_skipped_and_training_continues(change, streets_root, tmp_path, either):
    task, trainer = train_tiny(streets_root, tmp_path, change=change, **with_scaler())
    assert trainer.precision_plugin.scaler.get_scale() == 2 / 4  # it was halved at each
    assert read_summary(tmp_path)["status"] == "finished"
    assert first_not_finite(task.state_dict()) is None


@pytest.mark.parametrize("change", [loss_in(*range(1, 99)), gradient_in(*range(1, 99))], ids=["loss", "gradients"])
def test_with_a_scaler_many_such_steps_in_a_row_stop(change, streets_root, tmp_path, either):
    with pytest.raises(InputError, match=rf"in {MOST_SKIPPED} iterations in a row on .*{TWO_IMAGES}"):
        train_tiny(streets_root, tmp_path, change=change, **with_scaler(max_epochs=99))
    assert len(read_metrics(tmp_path)) == MOST_SKIPPED // 4


def test_a_skipped_step_that_damaged_running_statistics_stops(streets_root, tmp_path, either):
    """They are changed by the forward pass, which no scaler takes back."""

    class Overflowing(TinyNetwork):
        def forward(self, x):
            return super().forward(x * INF if self.training and self.batches == 1 else x)

    network = Overflowing(loss_in())
    with pytest.raises(InputError, match=rf"bn\.running_mean is not finite after iteration .*{TWO_IMAGES}"):
        train_tiny(streets_root, tmp_path, network=network, **with_scaler())
    assert_failed(tmp_path, rows=0)


def test_a_last_step_that_damages_the_weights_does_not_finish(streets_root, tmp_path, either):
    with pytest.raises(InputError, match=rf"conv\.weight is not finite after iteration 1 \(epoch 0\).*{TWO_IMAGES}"):
        train_tiny(streets_root, tmp_path, change=steep, lr=1e38, max_epochs=1, limit_train_batches=1)
    assert_failed(tmp_path, rows=0)


def test_damaged_weights_are_named_before_the_next_step(streets_root, tmp_path, either):
    with pytest.raises(InputError, match=r"conv\.\w+ is not finite before iteration 1 .*_leftImg8bit\.png"):
        train_tiny(streets_root, tmp_path, change=steep, lr=1e38)


def test_an_epoch_without_an_evaluation_is_checked_too(streets_root, tmp_path, either):
    def damage(trainer, module):
        if trainer.global_step == 8:
            module.network.bn.running_var[3] = INF

    with pytest.raises(InputError, match=r"bn\.running_var is not finite after iteration 8 \(epoch 1\)"):
        train_tiny(streets_root, tmp_path, callbacks=[Calls("on_train_batch_end", damage)], max_epochs=3)
    assert_failed(tmp_path, rows=1)  # epoch 0 is kept


def test_no_checkpoint_holds_what_is_not_finite(streets_root, tmp_path):
    task, trainer = train_tiny(streets_root, tmp_path, max_epochs=1)
    task.network.bn.running_mean[0] = NAN
    with pytest.raises(InputError, match=r"bn\.running_mean is not finite"):
        trainer.save_checkpoint(tmp_path / "by_hand.ckpt")
    assert not (tmp_path / "by_hand.ckpt").exists()


def test_weights_that_are_not_finite_are_not_evaluated(streets_root, tmp_path):
    network = TinyNetwork()
    network.bn.running_var[0] = INF
    trainer = make_trainer({"accelerator": "cpu", "precision": "32-true"}, tmp_path)
    with pytest.raises(
        InputError,
        match=r"The weight \S*bn\.running_var is not finite; use",
    ):
        trainer.validate(SegmentationTask(network, SPEC), tiny_data(streets_root), verbose=False)


@pytest.mark.parametrize("lr", [INF, 1e39, NAN, -1.0])
def test_a_learning_rate_that_no_weight_holds_is_refused(lr):
    with pytest.raises(InputError, match=r"optimizer\.lr=.* is not a number from 0 to 1e\+38"):
        SegmentationTask(TinyNetwork(), SPEC, optimizer=partial(torch.optim.SGD, lr=lr))


def test_flags_are_exact_at_the_edges_of_float32():
    """The Euclidean norm of these overflows; infinities of either sign and NaN are found."""
    cpu = torch.device("cpu")
    assert finite_steps._all_finite([torch.full((9,), 3e38), torch.full((2, 2), -3e38)], cpu)
    assert finite_steps._all_finite([], cpu)
    for value in (NAN, INF, -INF):
        assert not finite_steps._all_finite([torch.zeros(3), torch.tensor([0.0, value, 1.0])], cpu)
