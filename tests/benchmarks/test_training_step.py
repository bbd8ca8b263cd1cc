"""The benchmark of a training step: its time, its memory, and the estimated hours."""

from torch import nn

from regseg.benchmarks.training_step import StepTime, benchmark_training, describe
from regseg.data.datasets.spec import DatasetSpec
from regseg.training.schedules import constant
from regseg.training.task import SegmentationTask


def test_what_a_step_keeps_is_counted():
    """Two 1x1 convolutions with a ReLU between them: each keeps its input, and the second input is ReLU's result."""
    network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 2, 1))
    task = SegmentationTask(network, DatasetSpec("two", ("a", "b"), ((0, 0, 0), (9, 9, 9))), scheduler=constant)
    found = benchmark_training(task, 2, (32, 64), {"accelerator": "cpu", "precision": "32-true"}, steps=3)
    assert len(found.milliseconds) == 3 and min(found.milliseconds) > 0
    pixels = 2 * 32 * 64
    network_keeps = 4 * pixels * (3 + 16)
    loss_keeps = 4 * pixels * 2 + 8 * pixels  # log-probabilities and labels; the rest is smaller
    assert network_keeps + loss_keeps <= found.memory < 1.2 * (network_keeps + loss_keeps)


def test_hours_of_a_run():
    text = describe(StepTime("a card", [100.0, 110.0, 300.0], 2**31), batch_size=8, images=2975, epochs=500)
    assert "110 ms per step (100-300), 72.7 images/s, 2.0 GiB" in text
    assert "185500 steps, 5.7 h" in text  # 185500 · 0.11 s


def test_as_its_users_run_it(run_module):
    result = run_module("regseg.benchmark", "what=training", "steps=1", "data.batch_size=2", "data.crop_size=[64,64]")
    assert result.returncode == 0, result.stderr
    assert "1 training step of 2 x 64 x 64" in result.stdout and "h without evaluations" in result.stdout
    assert not result.stderr
