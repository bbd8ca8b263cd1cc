"""The paper's tables as sweeps: which jobs they launch, and what becomes of a sweep that is started again."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from regseg.cli import _end_within
from regseg.config import config_dir, register_resolvers
from regseg.errors import InputError
from regseg.multirun import note_failure, own_gpu, sweep_folder
from regseg.report import write
from regseg.reporting.published import author_runs, paper
from regseg.run_dir import is_done, read_metrics, read_summary, write_json
from regseg.training.record import RunRecord
from regseg.training.trainer import make_trainer

TABLES = {
    path.stem for path in (config_dir() / "experiment").glob("*.yaml") if "sweeper:" in path.read_text(encoding="utf-8")
}
SEEDS = {  # of every row, or of one; else 0
    "table3": [0, 1, 2, 3],
    "table7/epochs_1000": [1, 2, 3],
    "table8": [1, 2, 3, 4, 5],
    "table10": [1, 2, 3],
    "camvid_table4": [0, 1],
    "camvid_table5": [0, 1],
}
GROUPS = {"fig6": "table6"}  # an experiment whose runs are another one's


@functools.cache
def jobs(table):
    """What Hydra's sweeper makes of the experiment: a list of overrides a job."""
    register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={table}"], return_hydra_config=True)
    parser = OverridesParser.create()
    overrides = parser.parse_overrides([f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()])
    return BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]


@functools.cache
def composed(table):
    """(row, composed configuration) of every job."""
    found, listed = [], jobs(table)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for job in listed:
            cfg = compose("train", overrides=[f"experiment={table}", *job])
            (row,) = [text.split("=")[1] for text in job if text.startswith("row=")] or [None]
            found.append(((row.split("/")[1] if row else cfg.run.name), cfg))
    return found


@pytest.mark.parametrize("table", sorted(TABLES & set(paper())))
def test_exactly_the_papers_rows_are_launched(table):
    launched = [(name, cfg.seed) for name, cfg in composed(table)]
    seeds = {row: SEEDS.get(f"{table}/{row}", SEEDS.get(table, [0])) for row in paper()[table]["rows"]}
    assert launched == [(row, seed) for row in seeds for seed in seeds[row]]


# By the headers of the author's logs: storage, short side, augmentation, epochs, loss, crop; of a table, or of a row.
ABLATION, FULL = ("half", [256, 1792], "jitter", 500), ("full", [400, 1600], "randaug", 500)
SETTINGS = {
    "table3": (*ABLATION, "cross_entropy", [768, 768]),
    "table4": (*ABLATION, "cross_entropy", [768, 768]),
    "table5": (*ABLATION, "cross_entropy", [768, 768]),
    "table6/resize_400_1600_crop_768x1536": ("half", [400, 1600], "jitter", 500, "cross_entropy", [768, 1536]),
    "table6/resize_400_1600_crop_1024x1024": ("half", [400, 1600], "jitter", 500, "cross_entropy", [1024, 1024]),
    "table6/resize_400_1600_crop_512x1024": ("half", [400, 1600], "jitter", 500, "cross_entropy", [512, 1024]),
    "table6/resize_400_1600_crop_768x768": ("half", [400, 1600], "jitter", 500, "cross_entropy", [768, 768]),
    "table6/resize_512_2048_crop_1024x1024": ("half", [512, 2048], "jitter", 500, "cross_entropy", [1024, 1024]),
    "table6/resize_512_2048_crop_768x768": ("half", [512, 2048], "jitter", 500, "cross_entropy", [768, 768]),
    "table6/resize_512_2048_crop_512x1024": ("half", [512, 2048], "jitter", 500, "cross_entropy", [512, 1024]),
    "table7/resize_512_2048": ("full", [512, 2048], "randaug", 500, "cross_entropy", [768, 768]),
    "table7/resize_400_1600": (*FULL, "cross_entropy", [768, 768]),
    "table7/ohem": (*FULL, "ohem", [768, 768]),
    "table7/epochs_1000": (*FULL[:3], 1000, "cross_entropy", [768, 768]),
    "table10": (*FULL[:3], 1000, "cross_entropy", [768, 768]),
}
LOSSES = {"regseg.training.losses.CrossEntropy": "cross_entropy", "regseg.training.losses.OHEM": "ohem"}
NETWORKS = {
    "table3": ("dilation_1_6_12_18", "sum_conv3x3"),
    "table6": ("dilation_1_6_12_18", "sum_conv3x3"),
    "table7": ("dilation_1_14", "regseg"),
}


@pytest.mark.parametrize("table", ["table3", "table4", "table5", "table6", "table7", "table10"])
def test_settings_are_those_of_the_authors_logs(table):
    for row, cfg in composed(table):
        data, found = cfg.data, (set(cfg.data.augment) - {"flip"}).pop()
        settings = (
            data.storage,
            data.short_side,
            found,
            cfg.trainer.max_epochs,
            LOSSES[cfg.loss._target_],
            data.crop_size,
        )
        assert settings == SETTINGS.get(f"{table}/{row}", SETTINGS.get(table)), row
        assert (data.dataset, data.batch_size, data.class_uniform) == ("cityscapes", 8, 0.5)
        assert (cfg.optimizer.lr, cfg.scheduler.warmup_iters) == (0.05, 3000)
        if table in NETWORKS:
            assert (cfg.model.backbone.name, cfg.model.decoder.name) == NETWORKS[table]


@pytest.mark.parametrize("table", ["table3", "table4", "table5", "table6", "table7", "table8", "table10"])
def test_the_epochs_of_every_record_of_the_author_are_evaluated(table):
    due = {}
    for row, cfg in composed(table):
        evaluation, epochs = instantiate(cfg.callbacks.evaluation), cfg.trainer.max_epochs
        due.setdefault(row, [epoch for epoch in range(epochs) if evaluation.is_due(epoch, epochs)])
    for row in paper()[table]["rows"]:
        records = author_runs(table, row)
        assert records and all(record.epochs == due[row] for record in records), row


def test_fig6_takes_the_two_runs_of_table_6():
    """Same folder, same settings: what one of the two experiments finished, the other skips."""
    of_table6 = dict(composed("table6"))
    for row, cfg in composed("fig6"):
        assert cfg.run.group == "table6" and cfg.seed == of_table6[row].seed
        for section in ("model", "data", "loss", "optimizer", "scheduler", "trainer", "callbacks"):
            assert cfg[section] == of_table6[row][section]


def test_networks_of_the_ablations():
    assert {cfg.model.decoder.name for _, cfg in composed("table4")} == {"sum_conv3x3"}
    assert {cfg.model.backbone.name for _, cfg in composed("table5")} == {"dilation_1_12"}
    assert [cfg.model.name for _, cfg in composed("table10")] == 3 * ["ddrnet23"] + 3 * ["regseg"]
    fine_tuning = dict(composed("table8"))["regseg"]
    assert (fine_tuning.optimizer.lr, fine_tuning.data.batch_size, fine_tuning.trainer.max_epochs) == (0.005, 12, 200)


def smoke(run_module, streets_root, streets_options, table, *more, timeout=300):
    arguments = [f"experiment={table}", "trainer=smoke", *streets_options, f"data.root={streets_root}", *more]
    return run_module("regseg.train", "-m", *arguments, timeout=timeout)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_runs_whole_and_is_reported(run_module, streets_root, streets_options, table, tmp_path):
    seeds = len(SEEDS.get(table, [0]))
    only_seeds = len(jobs(table)) == seeds  # then two of them, else one of each row
    result = smoke(run_module, streets_root, streets_options, table, "seed=1,2" if only_seeds else "seed=1")
    assert result.returncode == 0, result.stderr
    folders = sorted((tmp_path / "runs" / GROUPS.get(table, table)).iterdir())
    rows = {re.sub(r"seed[=_]\d", "", " ".join(job)) for job in jobs(table)}
    assert len(folders) == (2 if only_seeds else len(rows))
    assert {read_summary(folder)["status"] for folder in folders} == {"finished"}
    if table == "fig6":
        for folder in folders:
            write_json(folder / "val_sizes.json", [{"val_size": 64, "metrics": {"val/miou": 0.1}}])
    text, pictures = write(table, tmp_path / "runs", tmp_path / "report")
    assert "not run" not in text and "running" not in text and len(pictures) >= (1 if table == "fig6" else 3)


def test_a_table_is_refused_without_a_sweep(run_module):
    result = run_module("regseg.train", "experiment=table4")
    assert result.returncode == 2 and "-m experiment=table4" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_fine_tuning_asks_for_its_weights(run_module):
    result = run_module("regseg.train", "-m", "experiment=table8", "seed=1")
    assert result.returncode == 1 and "weights=FILE" in result.stderr


def test_a_sweep_goes_on_where_it_stopped(run_module, streets_root, streets_options, tmp_path):
    """One row finished, one cut off after its first epoch, one failed at once, one never begun."""
    rows = "model/backbone=dilation_1_14,dilation_1_6,dilation_1_10"
    assert smoke(run_module, streets_root, streets_options, "table4", rows).returncode == 0
    runs = tmp_path / "runs" / "table4"
    finished, cut, failed = (runs / f"{name}_seed0" for name in ("dilation_1_14", "dilation_1_6", "dilation_1_10"))
    before = (finished / "summary.json").stat().st_mtime_ns
    for folder, status in ((cut, "running"), (failed, "failed")):
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps(summary | {"status": status}))
    shutil.rmtree(failed / "checkpoints")  # it failed in its first epoch
    (failed / "metrics.csv").unlink()
    write_json(
        failed / "summary.json", json.loads((failed / "summary.json").read_text()) | {"best": None, "last": None}
    )
    result = smoke(run_module, streets_root, streets_options, "table4", rows + ",dilation_1_12")
    assert result.returncode == 0, result.stderr
    assert (finished / "summary.json").stat().st_mtime_ns == before
    assert "dilation_1_14_seed0: already finished" in result.stdout and "continuing from last.ckpt" in result.stdout
    for folder in (cut, failed, runs / "dilation_1_12_seed0"):
        assert read_summary(folder)["status"] == "finished" and len(read_metrics(folder)) == 2


def test_a_row_that_fails_does_not_stop_the_others(run_module, streets_root, streets_options, tmp_path):
    lr = "optimizer.lr=0.05,fast,0.04"
    result = smoke(
        run_module, streets_root, streets_options, "table5", "model/decoder=lraspp", lr, "run.name=${optimizer.lr}"
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-2:]
    assert "failed:" in last[0] and "optimizer.lr=fast" in last[0] and "is not a number" in last[0]
    assert "1 of the sweep's runs failed" in last[1]
    assert len(list((tmp_path / "runs" / "table5").glob("*/metrics.csv"))) == 2


def test_a_changed_setting_is_not_passed_over(run_module, streets_root, streets_options):
    rows = ("model/decoder=lraspp",)
    assert smoke(run_module, streets_root, streets_options, "table5", *rows).returncode == 0
    moved = streets_root.parent / "moved"
    shutil.copytree(streets_root, moved, dirs_exist_ok=True)
    passed = smoke(run_module, moved, streets_options, "table5", *rows)
    assert passed.returncode == 0 and "already finished" in passed.stdout  # the same files elsewhere
    next(moved.glob("leftImg8bit/val/*/*.png")).unlink()
    other = smoke(run_module, moved, streets_options, "table5", *rows)
    assert other.returncode == 1 and "trained on other images" in other.stderr
    result = smoke(run_module, streets_root, streets_options, "table5", *rows, "optimizer.lr=0.01")
    assert result.returncode == 1 and "optimizer.lr=0.05" in result.stderr


def test_two_rows_on_two_processes_each(run_module, streets_root, streets_options, tmp_path):
    """Every row is trained once, by two processes, and none of them sees the sweep."""
    rows = "model/backbone=dilation_1_6,dilation_1_14"
    result = smoke(run_module, streets_root, streets_options, "table4", rows, "trainer.devices=2")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("parameters, on streets") == 2
    for name in ("dilation_1_6", "dilation_1_14"):
        metrics = read_metrics(tmp_path / "runs" / "table4" / f"{name}_seed0")
        assert [int(row["epoch"]) for row in metrics] == [0, 1]


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


def test_several_runs_at_once(run_module, streets_root, streets_options, tmp_path):
    """Each prints into its folder, a mistake ends its own run alone, and the end tells of it."""
    rows = ("hydra/launcher=parallel", "model/decoder=lraspp,sum_conv1x1,nonsense")
    assert smoke(run_module, streets_root, streets_options, "table5", *rows).returncode == 2  # before any is begun
    rows = (*rows[:1], "model/decoder=lraspp,sum_conv1x1", "seed=0,-1")
    result = smoke(run_module, streets_root, streets_options, "table5", *rows)
    assert result.returncode == 1 and result.stderr.count("regseg: failed:") == 2
    assert all("seed=-1" in line for line in result.stderr.splitlines() if line.startswith("regseg: failed:"))
    for row in ("lraspp", "sum_conv1x1"):
        folder = tmp_path / "runs" / "table5" / f"{row}_seed0"
        assert read_summary(folder)["status"] == "finished" and "mIoU" in (folder / "output.log").read_text()
        assert f"{folder} is finished, best mIoU" in result.stdout
        assert read_summary(folder)["command"].startswith("python -m regseg.train -m experiment=table5")
    assert "┃ class" not in result.stdout and not list(tmp_path.glob(".regseg_sweep_*"))


def test_loader_workers_of_several_runs_at_once(run_module, streets_root, streets_options, tmp_path):
    """Not as a smoke test, which reads in the process that trains."""
    result = run_module(
        "regseg.train", "-m", "hydra/launcher=parallel", *streets_options, f"data.root={streets_root}",
        "model/decoder=lraspp,sum_conv1x1", "trainer.accelerator=cpu", "trainer.max_epochs=1", "data.batch_size=4",
        "data.crop_size=[64,64]", "data.num_workers=1", "scheduler.warmup_iters=1",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    folders = [path.parent for path in tmp_path.glob("runs/*/*/metrics.csv")]
    assert [len(read_metrics(folder)) for folder in folders] == [1, 1]


def test_as_jobs_of_a_queue(run_module, streets_root, streets_options, tmp_path):
    """submitit on this machine: a job file, a process of its own and a result file a run, as under Slurm."""
    queue = ("hydra/launcher=submitit_local", "trainer.devices=2", "model/decoder=lraspp", "optimizer.lr=0.05,fast")
    result = smoke(run_module, streets_root, streets_options, "table5", *queue)
    assert result.returncode == 1 and "failed: model/decoder=lraspp" in result.stderr and "fast" in result.stderr
    folder = tmp_path / "runs" / "table5" / "lraspp_seed0"
    assert [int(row["epoch"]) for row in read_metrics(folder)] == [0, 1]
    assert (folder / "output.log").read_text().count("parameters, on streets") == 1


def test_slurm_is_asked_for_a_job_a_run_that_may_be_queued_again():
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        overrides = ["experiment=table4", "hydra/launcher=slurm"]
        launcher = compose("train", overrides=overrides, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher") and launcher.tasks_per_node == 1
    assert launcher.timeout_min == 1440 and launcher.max_num_timeout == 100 and launcher.gpus_per_node == 1


def test_each_process_of_a_sweep_takes_a_gpu_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (
        "import sys, torch; from regseg import multirun as sweep\n"
        "torch.cuda.device_count = lambda: 2\n"
        "print(sweep.own_gpu(), sweep.own_gpu(), flush=True); sys.stdin.read()"
    )
    with sweep_folder("python -m regseg.train -m"):
        command = [sys.executable, "-c", code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
        taken = sorted(process.stdout.readline() for process in processes)
        assert taken == ["0 0\n", "1 1\n"]
        processes[0].communicate()  # ends, and gives its GPU back
        again = subprocess.run(command, input="", capture_output=True, text=True)
        assert again.stdout in taken and not again.stderr
        processes[1].communicate()


def test_an_end_is_no_failure():
    """When a job is ended, loader workers end too, and the clean-up raises an error of its own."""
    try:
        try:
            raise SystemExit(-1)
        finally:
            raise RuntimeError("DataLoader worker is killed by signal: Terminated.")
    except RuntimeError as error:
        assert isinstance(_end_within(error), SystemExit)
    assert _end_within(ValueError("of its own")) is None


def test_a_launcher_that_dies_is_told_of(run_module, streets_root, streets_options, tmp_path):
    """A process of the sweep that is killed, for memory say."""
    (tmp_path / "tests_die.py").write_text(
        "import os, lightning\n"
        "class Die(lightning.Callback):\n"
        "    def on_train_start(self, trainer, module): os.kill(os.getpid(), 9)\n"
    )
    die = ("hydra/launcher=parallel", "model/decoder=lraspp", "+callbacks.die={_target_: tests_die.Die}")
    result = run_module(
        "regseg.train", "-m", "experiment=table5", "trainer=smoke", *streets_options, f"data.root={streets_root}", *die,
        env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "the sweep stopped (TerminatedWorkerError" in result.stderr and "rerun the same command" in result.stderr


def test_a_sweep_may_be_asked_for_otherwise(run_module):
    for way in ("hydra.mode=MULTIRUN", "--multir"):
        result = run_module("regseg.train", way, "seed=-1")
        assert result.returncode == 1 and "failed: seed=-1" in result.stderr and "Traceback" not in result.stderr


def test_a_job_outlives_the_process_that_queued_it(tmp_path, monkeypatch):
    """Its folder is gone then; Slurm gives each job its GPUs."""
    monkeypatch.chdir(tmp_path)
    with sweep_folder("python -m regseg.train -m"):
        folder = next(tmp_path.glob(".regseg_sweep_*"))
        folder.rmdir()
        note_failure(3, "seed=0", "a sentence")
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
        assert own_gpu() is None
    assert "REGSEG_SWEEP" not in os.environ


def test_a_queued_again_job_does_not_overwrite_itself(run_module, streets_root, streets_options, tmp_path):
    rows = ("model/decoder=lraspp", "overwrite=true")
    assert smoke(run_module, streets_root, streets_options, "table5", *rows).returncode == 0
    arguments = ["experiment=table5", "trainer=smoke", *streets_options, f"data.root={streets_root}", *rows]
    again = run_module("regseg.train", "-m", *arguments, env={"SLURM_RESTART_COUNT": "1"})
    assert again.returncode == 0 and "already finished" in again.stdout, again.stderr


def test_a_parent_that_did_not_train_keeps_what_its_processes_found(tmp_path):
    found = {"epoch": 3, "metrics": {"val/miou": 0.7}}
    record = RunRecord(tmp_path, {"seed": 0})
    write_json(tmp_path / "summary.json", {"status": "running", "best": found, "last": found})
    alone = SimpleNamespace(launcher=None)
    record.on_exception(SimpleNamespace(is_global_zero=True, strategy=alone), None, RuntimeError("killed"))
    summary = read_summary(tmp_path)
    assert summary["status"] == "failed" and summary["best"] == summary["last"] == found


@pytest.mark.parametrize(
    ("last", "before", "now", "done"),
    [
        (None, {"max_epochs": 1}, {"max_epochs": 1}, False),  # nothing was evaluated
        (0, {"max_epochs": 1}, {"max_epochs": 1}, True),
        (0, {"max_epochs": 1}, {"max_epochs": 2}, False),  # extended
        (1, {"max_epochs": 9}, {"max_epochs": 9}, True),  # stopped early
        (1, {"max_epochs": 9, "max_steps": 20}, {"max_epochs": 9, "max_steps": 20}, True),
        (1, {"max_epochs": 9, "max_steps": 20}, {"max_epochs": 9}, False),
    ],
)
def test_what_ended_by_itself_is_done_under_the_same_limits(tmp_path, last, before, now, done):
    last = None if last is None else {"epoch": last}
    summary = {"status": "finished", "best": last, "last": last, "config": {"trainer": before}}
    write_json(tmp_path / "summary.json", summary)
    assert is_done(tmp_path, now) == done
