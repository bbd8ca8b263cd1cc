"""`python -m regseg.train`: what a run leaves, and what it may replace or continue."""

import csv
import json
import shlex
import shutil
from types import SimpleNamespace

import pytest
import torch
from commands import EVALUATE, RUN, TINY, TRAIN, failed, write_folder_dataset

from regseg.config import values_of
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.run_dir import load_summary, lock_folder, read_metrics, read_summary
from regseg.train import enter, make_task
from regseg.training.checkpoints import written_at
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer


def test_a_run_leaves_everything(finished):
    folder, _ = finished
    run = folder / RUN
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "finished" and summary["seed"] == 0
    assert summary["config"]["data"]["dataset"] == "streets" and summary["versions"]["torch"]
    assert "regseg.train" in summary["command"] and "git_commit" in summary
    for key in ("best", "last"):
        metrics = summary[key]["metrics"]
        assert {"val/miou", "val/miou_reduced", "val/accuracy", "val/iou/road"} <= set(metrics)
        assert 0 <= metrics["val/miou"] <= 1
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["train/loss"]) > 0 and float(rows[1]["val/miou"]) == summary["last"]["metrics"]["val/miou"]
    for name in ("last", "best"):
        assert torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    assert (run / "config.yaml").exists() and len(list((run / "pictures").glob("*.png"))) == 2


def test_a_run_prints_table_and_paths_and_nothing_else(finished):
    folder, result = finished
    assert "mIoU" in result.stdout and "reduced mIoU" in result.stdout and "traffic light" in result.stdout
    assert (
        f"run folder: {RUN}\n" in result.stdout
        and str(folder) not in result.stdout
        and "epoch_0001.png" in result.stdout
    )
    assert "(training on train, evaluating on val), 2 epochs, batch 2, seed 0\n" in result.stdout
    assert "images: 9 for training, 3 for evaluation\n" in result.stdout
    assert result.stderr == ""


def test_the_last_line_of_an_epoch_is_that_of_the_last(finished):
    lines = [line for line in finished[1].stdout.splitlines() if line.startswith("epoch ")]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2", "epoch 2 on the split val"]


def test_a_finished_run_is_not_overwritten(copy_of_finished, run_module, streets_root, streets_options):
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}"]
    before = (copy_of_finished / RUN / "summary.json").read_text()
    assert failed(run_module(*arguments), RUN, "overwrite=true")
    assert failed(run_module(*arguments, "resume=yes"), "resume=yes")
    assert (copy_of_finished / RUN / "summary.json").read_text() == before

    own = f"weights={RUN}/checkpoints/best.ckpt"  # an interruption in the first epoch would lose them
    assert failed(run_module(*arguments, "overwrite=true", own), own, "run.name=NAME")
    assert (copy_of_finished / RUN / "summary.json").read_text() == before

    resumed = run_module(*arguments, "resume=last")
    assert resumed.returncode == 0 and "already finished" in resumed.stdout
    assert run_module(*arguments, "overwrite=true", "trainer.max_epochs=1").returncode == 0
    assert len((copy_of_finished / RUN / "metrics.csv").read_text().splitlines()) == 2


def test_a_smoke_test_makes_way_for_a_run(copy_of_finished, run_module, streets_root, streets_options):
    real = ["data.crop_size=[32,64]", "data.short_side=[32,64]", "data.batch_size=4", "data.num_workers=0"]
    arguments = [TRAIN, *TINY[1:], *streets_options, f"data.root={streets_root}", "trainer.max_epochs=1"]
    result = run_module(*arguments, "scheduler.warmup_iters=1", *real)
    assert result.returncode == 0, result.stderr
    summary = json.loads((copy_of_finished / RUN / "summary.json").read_text())
    assert summary["status"] == "finished" and summary["config"]["data"]["batch_size"] == 4
    assert failed(run_module(*arguments, "scheduler.warmup_iters=1", *real), "overwrite=true")


def test_wandb_without_a_login_is_reported_before_anything_is_written(
    run_module, streets_root, streets_options, tmp_path
):
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "logger=wandb"]
    nobody = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    result = run_module(*arguments, env=nobody)
    assert result.returncode == 2 and "wandb login" in result.stderr.splitlines()[-1], result.stderr
    assert not (tmp_path / RUN).exists()


def test_a_continued_run_does_not_need_its_initial_weights(compose):
    values = values_of(compose("data=streets", "model.backbone.dilations=[[1]]", "weights=deleted.ckpt"))
    assert make_task(values, SPEC, continued=True).network.config["num_classes"] == SPEC.num_classes
    with pytest.raises(InputError, match=r"deleted\.ckpt"):
        make_task(values, SPEC, continued=False)


def test_fine_tuning_keeps_all_but_the_classifier(copy_of_finished, run_module, tmp_path):
    write_folder_dataset(tmp_path / "mine")
    result = run_module(
        TRAIN, *TINY, "data=folder", f"data.root={tmp_path / 'mine'}", f"weights={RUN}/checkpoints/best.ckpt"
    )
    assert result.returncode == 0, result.stderr
    assert "Skipped decoder.classifier" in result.stdout and "19 classes" in result.stdout


def test_overwrite_touches_nothing_before_all_parts_are_built(copy_of_finished, run_module, streets_root):
    before = (copy_of_finished / RUN / "checkpoints" / "best.ckpt").read_bytes()
    result = run_module(TRAIN, *TINY, "data=streets", "data.dataset=cityscapes", "data.root=nowhere", "overwrite=true")
    assert failed(result, "nowhere")
    assert (copy_of_finished / RUN / "checkpoints" / "best.ckpt").read_bytes() == before


def test_overwriting_is_repeated_until_it_has_begun(copy_of_finished, run_module, streets_root, streets_options):
    """The earlier run is neither resumed nor taken for the new one."""
    (copy_of_finished / "tests_stop.py").write_text(
        "import os, signal, time, lightning\n"
        "class Stop(lightning.Callback):\n"
        "    def __init__(self): self.stop('before')\n"
        "    def on_train_end(self, trainer, module): self.stop('after')\n"
        "    def stop(self, when):\n"
        "        if os.environ['STOP'] == when: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
    )
    arguments = [*TINY, *streets_options, f"data.root={streets_root}", "trainer.max_epochs=1"]
    arguments += ["+callbacks.stop={_target_: tests_stop.Stop}", "overwrite=true"]
    before = (copy_of_finished / RUN / "summary.json").read_text()
    result = run_module(TRAIN, *arguments, env={"STOP": "before"})
    *_, sentence, command = result.stderr.splitlines()
    assert result.returncode == 143 and sentence.startswith("regseg: interrupted before the run began; start it again")
    assert shlex.split(command)[3:] == arguments and (copy_of_finished / RUN / "summary.json").read_text() == before
    result = run_module(TRAIN, *arguments, env={"STOP": "after"})
    *_, sentence, command = result.stderr.splitlines()
    assert sentence == "regseg: interrupted; continue with this command:"
    assert shlex.split(command)[3:] == [*arguments[:-1], "resume=last"]
    summary = json.loads((copy_of_finished / RUN / "summary.json").read_text())
    assert summary["status"] == "interrupted" and summary["began"] > json.loads(before)["began"]


def test_a_folder_of_something_else_is_left_alone(run_module, streets_root, streets_options, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "holiday.png").write_bytes(b"precious")
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "hydra.run.dir=.", "overwrite=true"]
    assert failed(run_module(*arguments), "pictures")
    assert (tmp_path / "pictures" / "holiday.png").exists()


def test_a_run_that_continues_elsewhere_is_not_started_twice(
    copy_of_finished, run_module, streets_root, streets_options
):
    summary = copy_of_finished / RUN / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"running"'))
    (copy_of_finished / RUN / "checkpoints" / "last.ckpt").unlink()
    with lock_folder(copy_of_finished / RUN):
        result = run_module(TRAIN, *TINY, *streets_options, f"data.root={streets_root}")
        assert failed(result, "running", "overwrite=true")
        result = run_module(TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "overwrite=true")
        assert failed(result, "another process")


def test_a_run_that_another_process_trained_meanwhile_is_left_alone(copy_of_finished):
    """Between reading the checkpoint and locking the folder, datasets are read and caches are created."""
    cfg = SimpleNamespace(resume="last", overwrite=False)
    folder = copy_of_finished / RUN
    for before in ({}, written_at(folder) | {"last.ckpt": 1}):
        with pytest.raises(InputError, match=r"Another process trained in .*; repeat the command\."):
            enter(cfg, {"weights": None}, folder, None, before, keep=True)
    assert load_summary(folder)["status"] == "finished"
    enter(cfg, {"weights": None}, folder, None, written_at(folder), keep=True)


def test_a_run_that_was_killed_in_its_first_epoch_starts_again(
    copy_of_finished, run_module, streets_root, streets_options
):
    run = copy_of_finished / RUN
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.csv").unlink()
    (run / "summary.json").write_text(json.dumps({"status": "running", "best": None, "last": None}))
    result = run_module(TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "trainer.max_epochs=1")
    assert result.returncode == 0, result.stderr
    assert len((run / "metrics.csv").read_text().splitlines()) == 2


def test_a_run_of_an_earlier_version_is_continued(copy_of_finished, run_module, streets_root, streets_options):
    """Its configuration, its checkpoints and their record contain the options under their former names."""
    run = copy_of_finished / RUN
    rates = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "warmup_iters": 1, "power": 0.9}
    summary = json.loads((run / "summary.json").read_text())
    del summary["config"]["scheduler"]
    summary["config"] |= {"loss": {"name": "cross_entropy"}, "optimizer": rates, "logger": {"name": "csv"}}
    (run / "summary.json").write_text(json.dumps(summary | {"status": "interrupted"}))
    content = torch.load(run / "checkpoints" / "previous.ckpt", weights_only=True)
    content["hyper_parameters"] |= {"loss": "cross_entropy", "loss_options": {}, **rates}
    today = ("data", "loss", "optimizer", "scheduler")
    settings = content["regseg"]["fingerprint"]["settings"]
    settings = {name: value for name, value in settings.items() if name not in today and "scheduler" not in name}
    settings |= {"loss.name": "cross_entropy"} | {f"optimizer.{name}": value for name, value in rates.items()}
    content["regseg"]["fingerprint"]["settings"] = settings
    torch.save(content, run / "checkpoints" / "previous.ckpt")
    (run / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "resume=last"]
    assert failed(
        run_module(*arguments, "loss=ohem", f"hydra.run.dir={RUN}"), "loss=CrossEntropy, but the command has OHEM"
    )
    result = run_module(*arguments)
    assert result.returncode == 0 and "continuing from previous.ckpt at epoch 1" in result.stdout, result.stderr
    assert len((run / "metrics.csv").read_text().splitlines()) == 3
    assert (run / "checkpoints" / "damaged.ckpt").read_bytes() == b"damaged"
    for name, epoch in (("previous", 0), ("last", 1)):
        assert torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"] == epoch


def test_without_a_usable_checkpoint_nothing_is_changed(copy_of_finished, run_module, streets_root, streets_options):
    run = copy_of_finished / RUN
    (run / "summary.json").write_text((run / "summary.json").read_text().replace('"finished"', '"interrupted"'))
    for name in ("last", "previous"):
        (run / "checkpoints" / f"{name}.ckpt").write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = run_module(TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "resume=last")
    assert failed(result, "damaged", "best.ckpt", "overwrite=true")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_resuming_with_another_setting_is_refused(copy_of_finished, run_module, streets_root, streets_options):
    summary = copy_of_finished / RUN / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "resume=last", "hydra.run.dir=" + RUN]
    assert failed(run_module(*arguments, "optimizer.lr=0.5"), "optimizer.lr=0.05", "0.5")


def test_a_checkpoint_of_another_model_is_refused(copy_of_finished, run_module, streets_root, streets_options):
    arguments = [TRAIN, "trainer=smoke", *streets_options, f"data.root={streets_root}"]
    assert failed(run_module(*arguments, f"weights={RUN}/checkpoints/best.ckpt", "run.name=other"), "a different model")
    summary = copy_of_finished / RUN / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    with_decoder = ["resume=last", "model/decoder=lraspp", "hydra.run.dir=" + RUN]
    assert failed(run_module(*arguments, *with_decoder), "model.")


def loss_of(run):
    """The loss of a run's last checkpoint, evaluated in one process."""
    weights = run / "checkpoints" / "last.ckpt"
    task = SegmentationTask.load_from_checkpoint(weights)
    task.with_val_loss = True
    precision = read_summary(run)["config"]["trainer"]["precision"]
    trainer = make_trainer({"accelerator": "cpu", "precision": precision}, run)
    trainer.validate(task, SegmentationDataModule.load_from_checkpoint(weights), verbose=False)
    return trainer.callback_metrics["val/loss"].item()


def test_two_processes(copy_of_finished, run_module, streets_root, streets_options):
    """DDP on two CPU processes: one folder, each line once, every validation image counted once, with one network."""
    two = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", f"weights={RUN}", "run.name=two"]
    result = run_module(*arguments, *two, "trainer.max_epochs=1", "callbacks.evaluation.loss=true")
    assert result.returncode == 0, result.stderr
    assert [result.stdout.count(text) for text in ("┃ class", "Using ", "Loaded ", "images: 9")] == [1, 1, 1, 1]
    run = RUN.replace("run_seed0", "two_seed0")
    (row,) = read_metrics(copy_of_finished / run)
    assert float(row["val/loss"]) == pytest.approx(loss_of(copy_of_finished / run), rel=1e-5)
    alone = run_module(EVALUATE, f"weights={run}/checkpoints/last.ckpt")
    assert alone.stdout[alone.stdout.index("┃ class") :] in result.stdout
    sizes = run_module(EVALUATE, f"weights={run}", "val_sizes=[32,48]", *two)
    assert sizes.returncode == 0, sizes.stderr
    once = ("Using ", "short side 32", "short side, pixels ┃", "results and")
    assert [sizes.stdout.count(text) for text in once] == [1] * 4


def test_a_message_of_two_processes_is_printed_once(run_module, streets_root, streets_options):
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "trainer.devices=2"]
    result = run_module(*arguments, "trainer.strategy=ddp", "optimizer.lr=1e30", "trainer.limit_train_batches=1.0")
    assert failed(result, "iteration")


def test_a_users_own_config_dir(run_module, streets_root, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "data").mkdir()
    (tmp_path / "mine" / "experiment" / "short.yaml").write_text(
        "# @package _global_\ndefaults: [{override /data: my_streets}]\noptimizer: {lr: 0.01}\n"
    )
    (tmp_path / "mine" / "data" / "my_streets.yaml").write_text(
        f"defaults: [_datamodule]\ndataset: cityscapes\nroot: {streets_root}\n"
        "crop_size: [64, 64]\nshort_side: [64, 64]\n"
    )
    result = run_module(TRAIN, "--config-dir", "mine", "experiment=short", *TINY)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "runs/short/run_seed0/summary.json").read_text())["config"]["optimizer"]["lr"] == 0.01
