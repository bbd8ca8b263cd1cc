"""Several runs of a sweep at once, as jobs of a queue, and on several processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from child_processes import default_signals
from commands import SMALL, TINY, smoke
from hydra import compose, initialize_config_dir

import regseg
from regseg.config import config_dir
from regseg.run_dir import read_metrics, read_summary, write_json


def test_two_rows_on_two_processes_each(run_module, streets_root, streets_options, tmp_path):
    """Every row is trained once, by two processes, and none of them sees the sweep."""
    rows = "model/decoder=lraspp,sum_conv1x1"
    result = smoke(run_module, streets_root, streets_options, "table5", rows, SMALL, "trainer.devices=2")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("parameters, on streets") == 2
    for name in ("lraspp", "sum_conv1x1"):
        metrics = read_metrics(tmp_path / "runs" / "table5" / f"{name}_seed0")
        assert [int(row["epoch"]) for row in metrics] == [0, 1]


def test_several_runs_at_once(run_module, streets_root, streets_options, tmp_path):
    """Each prints into its folder, a mistake ends only its own run, and the last lines report it."""
    rows = ("hydra/launcher=parallel", "model/decoder=lraspp,sum_conv1x1,nonsense")
    assert smoke(run_module, streets_root, streets_options, "table5", *rows).returncode == 2  # before any is begun
    rows = (*rows[:1], "model/decoder=lraspp,sum_conv1x1", "seed=0,-1", SMALL)
    result = smoke(run_module, streets_root, streets_options, "table5", *rows)
    assert result.returncode == 1 and result.stderr.count("regseg: failed:") == 2
    assert all("seed=-1" in line for line in result.stderr.splitlines() if line.startswith("regseg: failed:"))
    for row in ("lraspp", "sum_conv1x1"):
        folder = tmp_path / "runs" / "table5" / f"{row}_seed0"
        assert read_summary(folder)["status"] == "finished" and "mIoU" in (folder / "output.log").read_text()
        assert f"\n{folder.relative_to(tmp_path)} is finished, best mIoU" in result.stdout
        assert read_summary(folder)["command"].startswith("python -m regseg.train -m experiment=table5")
    assert "┃ class" not in result.stdout and not list(tmp_path.glob(".regseg_sweep_*"))


def test_loader_workers_of_several_runs_at_once(run_module, streets_root, streets_options, tmp_path):
    """This is no smoke test, because a smoke test reads images in the training process."""
    result = run_module(
        "regseg.train", "-m", "hydra/launcher=parallel", *streets_options, f"data.root={streets_root}",
        "model/decoder=lraspp,sum_conv1x1", SMALL, "trainer.accelerator=cpu", "trainer.max_epochs=1",
        "data.batch_size=4",
        "data.crop_size=[64,64]", "data.num_workers=1", "scheduler.warmup_iters=1",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    folders = [path.parent for path in tmp_path.glob("runs/*/*/metrics.csv")]
    assert [len(read_metrics(folder)) for folder in folders] == [1, 1]


def test_as_jobs_of_a_queue(run_module, streets_root, streets_options, tmp_path):
    """submitit on this machine: a job file, a separate process and a result file per run, as under Slurm."""
    queue = (
        "hydra/launcher=submitit_local",
        "trainer.devices=2",
        "model/decoder=lraspp",
        SMALL,
        "optimizer.lr=0.05,fast",
    )
    result = smoke(run_module, streets_root, streets_options, "table5", *queue)
    assert result.returncode == 1 and "failed: model/decoder=lraspp" in result.stderr and "fast" in result.stderr
    folder = tmp_path / "runs" / "table5" / "lraspp_seed0"
    assert [int(row["epoch"]) for row in read_metrics(folder)] == [0, 1]
    assert (folder / "output.log").read_text().count("parameters, on streets") == 1


def processes_of(folder):
    """(pid, command) of the processes that have ``folder`` in their command line or as their current folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (place / "cmdline").read_bytes().decode(errors="replace")
            if command and (str(folder) in command or (place / "cwd").readlink() == folder):
                found.append((int(place.name), command.replace("\0", " ")))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize(("name", "whom"), [("SIGTERM", "sweep"), ("SIGINT", "sweep"), ("SIGTERM", "job")])
def test_signals_to_jobs_of_a_local_queue(streets_root, streets_options, tmp_path, name, whom):
    """The sweep, or one of its jobs: the runs are recorded as interrupted, and no process stays."""
    command = ["-m", "regseg.train", "-m", "hydra/launcher=submitit_local", *TINY, *streets_options, "seed=0,1"]
    command += [f"data.root={streets_root}", "trainer.max_epochs=5000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(regseg.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=tmp_path, env=environment, preexec_fn=default_signals, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob("runs/*/*/metrics.csv"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        if whom == "sweep":
            os.killpg(process.pid, getattr(signal, name))  # as Ctrl-C in a terminal does
        else:
            for number, text in processes_of(tmp_path):
                if "submitit.core._submit" in text:
                    os.kill(number, getattr(signal, name))
        errors = process.communicate(timeout=120)[1]
        until = time.monotonic() + 60
        while (left := processes_of(tmp_path)) and time.monotonic() < until:
            time.sleep(0.2)
        assert not left
    finally:
        for number, _ in processes_of(tmp_path):
            os.kill(number, signal.SIGKILL)
    assert "Traceback" not in errors and ("same command" in errors or "continue with this command" in errors)
    assert process.returncode == (128 + getattr(signal, name) if whom == "sweep" else 1)
    assert errors.count("ended without a result") == (0 if whom == "sweep" else 2)  # both are waited for
    summaries = [read_summary(path.parent) for path in tmp_path.glob("runs/*/*/summary.json")]
    assert [summary["status"] for summary in summaries] == ["interrupted", "interrupted"]


def test_slurm_is_asked_for_a_job_a_run_that_may_be_queued_again():
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        overrides = ["experiment=table4", "hydra/launcher=slurm"]
        launcher = compose("train", overrides=overrides, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher") and launcher.tasks_per_node == 1
    assert launcher.timeout_min == 1440 and launcher.max_num_timeout == 100 and launcher.gpus_per_node == 1
    assert launcher.signal_delay_s <= 60  # with submitit's two minutes, a run of a short limit would never begin


def test_a_launcher_that_dies_is_reported(run_module, streets_root, streets_options, tmp_path):
    """A process of the sweep that is killed, for example because memory ran out."""
    (tmp_path / "tests_die.py").write_text(
        "import os, lightning\n"
        "class Die(lightning.Callback):\n"
        "    def on_train_start(self, trainer, module): os.kill(os.getpid(), 9)\n"
    )
    die = ("hydra/launcher=parallel", "model/decoder=lraspp", SMALL, "+callbacks.die={_target_: tests_die.Die}")
    result = run_module(
        "regseg.train", "-m", "experiment=table5", "trainer=smoke", *streets_options, f"data.root={streets_root}", *die,
        env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "the sweep stopped (TerminatedWorkerError" in result.stderr and "rerun the same command" in result.stderr


def test_overwrite_with_a_time_replaces_only_earlier_runs(run_module, streets_root, streets_options, tmp_path):
    rows = ("model/decoder=lraspp", SMALL, "overwrite=true")
    assert smoke(run_module, streets_root, streets_options, "table5", *rows).returncode == 0
    began = read_summary(tmp_path / "runs/table5/lraspp_seed0")["began"]
    arguments = ["experiment=table5", "trainer=smoke", *streets_options, f"data.root={streets_root}", *rows[:2]]
    for overwrite, kept in ((began, True), ("true", False)):
        again = run_module("regseg.train", "-m", *arguments, f"overwrite={overwrite}")
        assert again.returncode == 0 and ("already finished" in again.stdout) is kept, again.stderr
        assert (read_summary(tmp_path / "runs/table5/lraspp_seed0")["began"] == began) is kept


def test_a_queued_again_job_overwrites_only_runs_of_other_jobs(run_module, streets_root, streets_options, tmp_path):
    rows = ["model/decoder=lraspp,sum_conv1x1", SMALL, "overwrite=true", "trainer.max_epochs=1"]
    arguments = ["experiment=table5", "trainer=smoke", *streets_options, f"data.root={streets_root}", *rows]
    job = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_ID": "9"}
    assert run_module("regseg.train", "-m", *arguments, env=job).returncode == 0
    own, other = (tmp_path / "runs" / "table5" / f"{name}_seed0" for name in ("lraspp", "sum_conv1x1"))
    assert read_summary(own)["slurm_job"] == "7_1"
    write_json(other / "summary.json", read_summary(other) | {"slurm_job": "6_1"})  # this job had not begun the row
    again = run_module("regseg.train", "-m", *arguments, env=job | {"SLURM_RESTART_COUNT": "1"})
    assert again.returncode == 0 and again.stdout.count("already finished") == 1, again.stderr
    assert f"{own.name}: already finished" in again.stdout and read_summary(other)["slurm_job"] == "7_1"
