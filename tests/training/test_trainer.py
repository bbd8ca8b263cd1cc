"""The Trainer in a sweep."""

import pytest
import torch
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from regseg.errors import InputError
from regseg.training.trainer import make_trainer


@pytest.mark.parametrize("strategy", [{}, {"strategy": "auto"}, {"strategy": "ddp"}])
def test_a_sweeps_processes_are_spawned_not_launched_by_its_command(tmp_path, strategy):
    two = {"accelerator": "cpu", "devices": 2, **strategy}
    assert isinstance(make_trainer(two, tmp_path).strategy.launcher, _SubprocessScriptLauncher)
    spawning = make_trainer(two, tmp_path, spawn=True)
    assert spawning.strategy.launcher._start_method == "spawn" and spawning.world_size == 2
    assert make_trainer(two | {"devices": 1}, tmp_path, spawn=True).world_size == 1


def test_a_strategy_that_cannot_be_spawned_is_refused(tmp_path):
    arguments = {"accelerator": "cpu", "devices": 2, "strategy": "ddp_find_unused_parameters_true"}
    with pytest.raises(InputError, match="cannot run in a sweep"):
        make_trainer(arguments, tmp_path, spawn=True)


def test_ranks_do_not_exchange_signals_before_every_batch(tmp_path):
    """They would wait for their GPUs; `regseg.system.processes` handles signals."""
    loop = make_trainer({"accelerator": "cpu", "devices": 2}, tmp_path).fit_loop.epoch_loop
    assert hasattr(type(loop), "_broadcast_sigterm_tensor")  # what is replaced exists
    assert loop._broadcast_sigterm_tensor() is None and not torch.distributed.is_initialized()
