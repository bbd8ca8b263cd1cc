"""The Trainer: in a sweep, in a Slurm job, and the arguments that it refuses."""

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from regseg.errors import InputError, typed
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


def _srun(tasks):
    """What srun sets in each of its tasks, and Slurm not in a job script."""
    return {"STEP_ID": "0", "STEP_NUM_TASKS": str(tasks)}


@pytest.mark.parametrize(
    ("slurm", "arguments", "expected"),
    [
        ({"NTASKS": "1"}, {"devices": 2}, LightningEnvironment),  # --ntasks=1 --gres=gpu:2
        ({"NTASKS": "2", "NTASKS_PER_NODE": "2"}, {"devices": 2}, LightningEnvironment),  # without srun
        ({"NTASKS": "2"}, {"devices": 2, "num_nodes": None}, "must be a positive integer"),
        ({"NTASKS": "1", **_srun(1)}, {"devices": 2}, LightningEnvironment),
        ({"NTASKS": "2", "NTASKS_PER_NODE": "2", **_srun(2)}, {"devices": 2}, SLURMEnvironment),
        ({"NTASKS": "2", **_srun(2)}, {"devices": 2}, "use `--ntasks-per-node=2` instead"),
        ({"NTASKS": "4", "NTASKS_PER_NODE": "2", **_srun(4)}, {"devices": 2}, "need 2 processes, but 4 were started"),
        ({"NTASKS": "2", "NTASKS_PER_NODE": "1"}, {"devices": 1, "num_nodes": 2}, "only one was started.*with srun"),
    ],
)
def test_the_processes_of_a_slurm_job(tmp_path, without_slurm, slurm, arguments, expected):
    for name, value in (slurm | {"PROCID": "0", "LOCALID": "0", "NODEID": "0", "JOB_NAME": "x"}).items():
        without_slurm.setenv(f"SLURM_{name}", value)
    arguments = {"accelerator": "cpu", "strategy": "ddp", **arguments}
    if isinstance(expected, str):
        with pytest.raises(InputError, match=f"(?i){expected}"):
            make_trainer(arguments, tmp_path)
    else:
        trainer = make_trainer(arguments, tmp_path)
        assert type(trainer.strategy.cluster_environment) is expected and trainer.world_size == 2
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        without_slurm.setenv(name, value)  # torchrun
    trainer = make_trainer({**arguments, "devices": 2, "num_nodes": 1}, tmp_path)
    assert isinstance(trainer.strategy.cluster_environment, TorchElasticEnvironment)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"fast_dev_run": True}, "trainer=smoke"),
        ({"barebones": True}, "remove it"),
        ({"val_check_interval": 0.5}, r"callbacks\.evaluation\.every"),
        ({"val_check_interval": 1}, r"callbacks\.evaluation\.every"),  # after each batch
        ({"check_val_every_n_epoch": 5}, r"callbacks\.evaluation\.every"),
        ({"callbacks": []}, r"use \+callbacks\.NAME={"),  # a run would save no checkpoint
        ({"logger": True}, "logger=NAME"),
        ({"default_root_dir": "elsewhere"}, r"hydra\.run\.dir=FOLDER"),  # checkpoints apart from the summary
        ({"use_distributed_sampler": True}, "remove it"),
    ],
)
def test_arguments_that_contradict_the_records_of_a_run_are_refused(tmp_path, arguments, remedy):
    with pytest.raises(InputError, match=rf"trainer\.{next(iter(arguments))}=.* cannot be used here; .*{remedy}"):
        make_trainer(arguments | {"accelerator": "cpu"}, tmp_path)
    with pytest.raises(InputError, match=r"cannot be used here; remove it\.$"):
        make_trainer(arguments | {"accelerator": "cpu"}, tmp_path, trains=False)


@pytest.mark.parametrize("nothing", [False, 0])
def test_values_without_an_effect_are_accepted(tmp_path, nothing):
    harmless = {"fast_dev_run": nothing, "val_check_interval": 1.0, "check_val_every_n_epoch": 1, "logger": False}
    make_trainer({"accelerator": "cpu", "deterministic": "warn", "max_time": {"hours": 1}, **harmless}, tmp_path)


def test_null_does_not_replace_the_settings_of_this_project(tmp_path):
    """Lightning's default is the current folder, no callbacks of ours, a logger, and validation by batches."""
    names = ("default_root_dir", "callbacks", "logger", "check_val_every_n_epoch")
    callback = Callback()
    trainer = make_trainer({"accelerator": "cpu", **dict.fromkeys(names)}, tmp_path, [callback])
    assert trainer.default_root_dir == str(tmp_path) and callback in trainer.callbacks
    assert not trainer.loggers and trainer.check_val_every_n_epoch == 1


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("accumulate_grad_batches", 0, "an integer of at least 1"),
        ("accumulate_grad_batches", 1.5, "an integer of at least 1"),
        ("gradient_clip_val", -1, "a number of at least 0"),  # it would reverse the gradients
        ("gradient_clip_val", "x", "a number of at least 0"),
        ("limit_train_batches", "x", "a number"),
        ("max_steps", "x", "an integer"),
        ("log_every_n_steps", "x", "an integer of at least 0"),
        ("log_every_n_steps", -1, "an integer of at least 0"),
        ("min_epochs", -1, "an integer of at least 0"),
        ("num_nodes", 0, "an integer of at least 1"),
        ("devices", 10**6, "an integer from -1 to 4096"),  # each is a process
        ("deterministic", "x", "a boolean"),
        ("max_time", 60, "a time such as 00:12:00:00 .days:hours:minutes:seconds."),
        ("gradient_clip_algorithm", 2, "a name"),
        ("profiler", True, "a name"),  # which Lightning would call
        ("enable_progress_bar", "x", "a boolean"),
        ("detect_anomaly", "x", "a boolean"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path, name, value, kind):
    with pytest.raises(InputError, match=rf"^trainer\.{name}='?{typed(value)}'? is not {kind}(\.|; use)"):
        make_trainer({"accelerator": "cpu", name: value}, tmp_path)


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"finds no GPU for trainer\.accelerator=gpu; .* use trainer\.accelerator=cpu"):
        make_trainer({"accelerator": "gpu"}, tmp_path)


def test_a_patience_that_is_not_a_number_is_refused_before_an_epoch_is_trained(tmp_path):
    with pytest.raises(InputError, match=r"^EarlyStopping\.patience='x' is not an integer of at least 0"):
        make_trainer({"accelerator": "cpu"}, tmp_path, [EarlyStopping("val/miou", patience="x")])


@pytest.fixture
def without_slurm(monkeypatch):
    """Outside of a Slurm job; returns the `monkeypatch`."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_where_slurm_is_installed_a_plain_start_says_nothing_about_srun(tmp_path, without_slurm):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    without_slurm.setenv("PATH", str(tmp_path))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        quiet()
        warnings.warn("Use `srun` here.", stacklevel=1)  # only Lightning's hint is silenced
        make_trainer({"accelerator": "cpu"}, tmp_path)
    assert [str(warning.message) for warning in warned] == ["Use `srun` here."]
