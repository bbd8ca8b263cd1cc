"""The Trainer in a sweep."""

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from regseg.errors import InputError
from regseg.system import processes
from regseg.training.trainer import end_ranks, make_trainer, quiet


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


def test_of_three_processes_the_failed_one_is_reported(monkeypatch):
    """Those that are killed afterwards have not failed."""
    ranks = [subprocess.Popen([sys.executable, "-c", code]) for code in ("import time; time.sleep(60)", "exit(2)")]
    monkeypatch.setattr(processes, "_ranks", ranks)

    class Launcher:
        def kill(self, number):
            for rank in ranks:
                rank.send_signal(number)
            for rank in ranks:
                rank.wait()

    everyone = list(ranks)
    end_ranks(SimpleNamespace(strategy=SimpleNamespace(launcher=Launcher())), wait=30)
    assert processes.failed_rank() == (2, None) and [rank.poll() for rank in everyone] == [-9, 2]


def test_where_slurm_is_installed_a_plain_start_says_nothing_about_srun(tmp_path, monkeypatch):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        quiet()
        warnings.warn("Use `srun` here.", stacklevel=1)  # only Lightning's hint is silenced
        make_trainer({"accelerator": "cpu"}, tmp_path)
    assert [str(warning.message) for warning in warned] == ["Use `srun` here."]
