"""Sweeps: failed rows, repeated sweeps, and what their processes share."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import SMALL, TINY, TRAIN, smoke

from regseg import multirun
from regseg.errors import InputError
from regseg.multirun import note_failure, note_run, own_gpu, run_folders, run_in_parallel, sweep_folder
from regseg.run_dir import read_metrics, read_summary, write_json


def test_a_sweep_continues_where_it_stopped(run_module, streets_root, streets_options, tmp_path):
    """One row finished, one cut off after its first epoch, one failed at once, one never begun."""
    rows = "model/decoder=lraspp,sum_conv1x1,bisenet"
    assert smoke(run_module, streets_root, streets_options, "table5", rows, SMALL).returncode == 0
    runs = tmp_path / "runs" / "table5"
    finished, cut, failed = (runs / f"{name}_seed0" for name in ("lraspp", "sum_conv1x1", "bisenet"))
    before = (finished / "summary.json").stat().st_mtime_ns
    for folder, status in ((cut, "running"), (failed, "failed")):
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps(summary | {"status": status}))
    shutil.rmtree(failed / "checkpoints")  # it failed in its first epoch
    (failed / "metrics.csv").unlink()
    write_json(
        failed / "summary.json", json.loads((failed / "summary.json").read_text()) | {"best": None, "last": None}
    )
    result = smoke(run_module, streets_root, streets_options, "table5", rows + ",sum_conv3x3", SMALL)
    assert result.returncode == 0, result.stderr
    assert (finished / "summary.json").stat().st_mtime_ns == before
    assert "lraspp_seed0: already finished" in result.stdout and "continuing from last.ckpt" in result.stdout
    for folder in (cut, failed, runs / "sum_conv3x3_seed0"):
        assert read_summary(folder)["status"] == "finished" and len(read_metrics(folder)) == 2


def test_an_interrupted_sweep_replaces_the_rest(run_module, streets_root, streets_options, tmp_path):
    """The command that it prints keeps what the sweep finished, and does not take earlier runs for its own."""
    (tmp_path / "tests_stop.py").write_text(
        "import os, lightning\n"
        "class Stop(lightning.Callback):\n"
        "    def __init__(self, seed):\n"
        "        if os.environ.get('STOP') == str(seed): raise KeyboardInterrupt\n"
    )
    options = [*TINY, *streets_options, f"data.root={streets_root}", "trainer.max_epochs=1", "run.group=g", "seed=0,1"]
    options += ["+callbacks.stop={_target_: tests_stop.Stop, seed: ${seed}}"]

    def began():
        return [read_summary(path)["began"] for path in sorted(tmp_path.glob("runs/g/*"))]

    assert run_module(TRAIN, "-m", *options).returncode == 0
    first = began()
    result = run_module(TRAIN, "-m", *options, "overwrite=true", env={"STOP": "1"})
    *_, sentence, command = result.stderr.splitlines()
    time = next(text for text in shlex.split(command) if text.startswith("overwrite=")).partition("=")[2]
    assert result.returncode == 130 and f"which replaces only the runs that began before {time}:" in sentence
    replaced, old = began()
    assert replaced > first[0] and old == first[1]
    assert run_module(TRAIN, *shlex.split(command)[3:], env={"STOP": "1"}).stderr.splitlines()[-1] == command
    result = run_module(TRAIN, *shlex.split(command)[3:])
    assert result.returncode == 0 and result.stdout.count("already finished") == 1
    assert began()[0] == replaced and began()[1] > old


def test_a_row_that_fails_does_not_stop_the_others(run_module, streets_root, streets_options, tmp_path):
    lr = "optimizer.lr=0.05,fast,0.04"
    result = smoke(
        run_module, streets_root, streets_options, "table5", "model/decoder=lraspp", SMALL, lr,
        "run.name=${optimizer.lr}",
    )  # fmt: skip
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-2:]
    assert "failed:" in last[0] and "optimizer.lr=fast" in last[0] and "is not a number" in last[0]
    assert "1 of the sweep's runs failed" in last[1]
    assert len(list((tmp_path / "runs" / "table5").glob("*/metrics.csv"))) == 2


def test_a_changed_setting_is_not_skipped(run_module, streets_root, streets_options):
    rows = ("model/decoder=lraspp", SMALL)
    assert smoke(run_module, streets_root, streets_options, "table5", *rows).returncode == 0
    moved = streets_root.parent / "moved"
    shutil.copytree(streets_root, moved, dirs_exist_ok=True)
    passed = smoke(run_module, moved, streets_options, "table5", *rows)
    assert passed.returncode == 0 and "already finished" in passed.stdout  # the same files elsewhere
    next(moved.glob("leftImg8bit/val/*/*.png")).unlink()
    other = smoke(run_module, moved, streets_options, "table5", *rows)
    assert other.returncode == 1 and "trained with different images" in other.stderr
    result = smoke(run_module, streets_root, streets_options, "table5", *rows, "optimizer.lr=0.01")
    assert result.returncode == 1 and "optimizer.lr=0.05" in result.stderr
    shutil.rmtree(moved)  # a finished run may be kept without its dataset, which is not created again
    without = smoke(run_module, moved, streets_options, "table5", *rows)
    assert without.returncode == 0 and "already finished" in without.stdout and not moved.exists()


def test_each_process_of_a_sweep_takes_a_gpu_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (
        "import sys; from types import SimpleNamespace; from regseg import multirun as sweep\n"
        "sys.modules['torch'] = SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 2))\n"  # import takes seconds
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


@pytest.mark.parametrize(("accelerator", "devices"), [("auto", [1]), ("gpu", [1]), ("cpu", 1)])
def test_a_row_trains_on_its_own_gpu(tmp_path, monkeypatch, accelerator, devices):
    monkeypatch.setattr(multirun, "own_gpu", lambda: 1)
    monkeypatch.setattr("multiprocessing.set_start_method", lambda *_, **__: None)
    trainer, found = {"accelerator": accelerator, "devices": 1}, []
    run_in_parallel(lambda: found.append(trainer["devices"]), tmp_path, trainer)
    assert found == [devices]


def test_a_row_on_several_gpus_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(multirun, "own_gpu", lambda: 1)
    with pytest.raises(InputError, match=r"trainer\.devices=2 cannot be used for several rows"):
        run_in_parallel(pytest.fail, tmp_path, {"accelerator": "gpu", "devices": 2})


def test_a_sweep_may_be_asked_for_otherwise(run_module):
    for way in ("hydra.mode=MULTIRUN", "--multir"):
        result = run_module("regseg.train", way, "seed=-1")
        assert result.returncode == 1 and "failed: seed=-1" in result.stderr and "Traceback" not in result.stderr
    result = run_module("regseg.train", "-m", "augment=glob(*,exclude=[r*,_*])", "seed=-1")
    assert "run 2 of 2: augment=jitter seed=-1" in result.stdout and "2 of the sweep's runs failed" in result.stderr


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


def test_rows_of_a_sweep_under_an_experiment_have_folders_of_their_own(
    run_module, streets_root, streets_options, tmp_path
):
    result = run_module(
        TRAIN, "-m", "experiment=demo", "trainer=smoke", *streets_options, f"data.root={streets_root}",
        "model/decoder=regseg,lraspp", SMALL, "trainer.max_epochs=1",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("runs/demo/*/summary.json"))) == 2


def test_in_a_sweep_a_mistake_ends_its_own_run_alone(run_module, streets_root, streets_options, tmp_path):
    result = run_module(
        TRAIN, "-m", *TINY, *streets_options, f"data.root={streets_root}", "loss=ohem,cross_entropy", "seed=3",
        "data.train_split=train,nonsense",
    )  # fmt: skip
    assert result.returncode == 1 and "2 of the sweep's runs failed" in result.stderr
    failures = [line for line in result.stderr.splitlines() if line.startswith("regseg: failed:")]
    assert len(failures) == 2 and all("data.train_split=nonsense" in line for line in failures)
    names = sorted(path.parent.name for path in tmp_path.glob("runs/*/*/summary.json"))
    assert len(names) == 2 and "loss_cross_entropy" in names[0] and "loss_ohem" in names[1]
    assert all("data.train_split_train" in name and name.endswith("_seed3") for name in names)


def test_a_missing_local_queue_is_left_to_hydra_to_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit.local", None)  # as if it were not installed
    multirun.detach_local_queue()


def test_the_local_queue_is_refused_on_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InputError, match=r"submitit_local needs signals.*parallel"):
        multirun.detach_local_queue()


def test_two_runs_of_a_sweep_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sweep_folder("python -m regseg.train -m"):
        assert note_run(0, "seed=0 trainer.max_epochs=1", tmp_path / "r", "a")
        assert note_run(0, "seed=0 trainer.max_epochs=1", tmp_path / "r", "a")  # queued again
        assert note_run(1, "seed=1", tmp_path / "s", "b")
        assert not note_run(3, "seed=0", tmp_path / "r", "a")  # identical
        with pytest.raises(InputError, match="already used by the sweep's run seed=0 trainer"):
            note_run(2, "seed=0 trainer.max_epochs=2", tmp_path / "r", "c")
        assert sorted(run_folders()) == [tmp_path / "r", tmp_path / "s"]


def test_a_job_that_was_killed_while_it_wrote_its_note_is_not_waited_for(tmp_path, monkeypatch):
    """And only one of the other jobs takes its folder."""
    monkeypatch.chdir(tmp_path)
    with sweep_folder("python -m regseg.train -m"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            note_run(0, "seed=0", tmp_path / "r", "a")
        assert run_folders() == []
        with ThreadPoolExecutor(8) as jobs:
            taken = [*jobs.map(lambda number: note_run(number, "seed=0", tmp_path / "r", "a"), range(8))]
        assert sum(taken) == 1 and run_folders() == [tmp_path / "r"]


def test_a_job_that_was_killed_while_it_wrote_its_failure_leaves_no_half_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sweep_folder("python -m regseg.train -m"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            note_failure(0, "seed=0", "a sentence")
        note_failure(1, "seed=1", "another sentence")
        assert multirun.failures() == [("seed=1", "another sentence")]
