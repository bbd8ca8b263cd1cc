"""The entry points as a user meets them: each call is a process of its own, in an empty folder."""

import csv
import errno
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from regseg.explain import explain
from regseg.run_dir import hold

TRAIN, EVALUATE = "regseg.train", "regseg.evaluate"
RUN = "runs/streets_own_schedule_regseg/run_seed0"
# The smallest network, and no worker processes: what is tested here is the program around them.
TINY = ["trainer=smoke", "model.backbone.dilations=[[1]]"]


def failed(result, *words):
    """Whether it ended with status 2 and one sentence that holds the words."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 2, result.stderr
    assert len(lines) == 1 and lines[0].startswith("regseg: "), result.stderr
    for word in words:
        assert word in lines[0]
    return True


@pytest.fixture(scope="module")
def finished(streets_root, streets_options, tmp_path_factory):
    """A folder in which one smoke run has finished, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    command = [sys.executable, "-m", TRAIN, *TINY, *streets_options, f"data.root={streets_root}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    return tmp_path


@pytest.mark.parametrize("module", [TRAIN, EVALUATE, "regseg.describe"])
def test_help_and_cfg_are_quick(run_module, module):
    for argument in (["--help"], ["--cfg", "job"]):
        start = time.perf_counter()
        result = run_module(module, *argument)
        assert result.returncode == 0 and result.stdout, result.stderr
        # The promise is 2 s on an idle machine; the import of torch alone, which must not happen, takes longer than 2.
        assert time.perf_counter() - start < 4


def test_help_imports_nothing_heavy(run_module):
    code = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        "try: runpy.run_module('regseg.train', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('torch', 'lightning', 'albumentations', 'wandb', 'cv2') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "HEAVY []" in result.stdout


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
    assert str(folder / RUN) in result.stdout and "epoch_0001.png" in result.stdout
    assert result.stderr == ""


def test_a_finished_run_is_not_overwritten(copy_of_finished, run_module, streets_root, streets_options):
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}"]
    before = (copy_of_finished / RUN / "summary.json").read_text()
    assert failed(run_module(*arguments), RUN, "overwrite=true")
    assert failed(run_module(*arguments, "resume=yes"), "resume=yes")
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


def test_wandb_without_a_login_is_told_of_before_anything_is_written(
    run_module, streets_root, streets_options, tmp_path
):
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "logger=wandb"]
    nobody = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    result = run_module(*arguments, env=nobody)
    assert result.returncode == 2 and "wandb login" in result.stderr.splitlines()[-1], result.stderr
    assert not list((tmp_path / RUN).iterdir())


def test_evaluate_agrees_with_training(copy_of_finished, run_module, finished):
    # Smoke looked at two of the three images at short side 64; the checkpoint tells data, size and network.
    result = run_module(EVALUATE, f"weights={RUN}/checkpoints/last.ckpt", "trainer.limit_val_batches=2")
    table = result.stdout[result.stdout.index("┃ class") :]
    assert result.returncode == 0 and table in finished[1].stdout
    augmented = run_module(
        EVALUATE, f"weights={RUN}/checkpoints/last.ckpt", "split=test", "val_size=48", "flip=true", "scales=[0.75,1]",
        "pictures=shown",
    )  # fmt: skip
    assert augmented.returncode == 0 and "split test" in augmented.stdout, augmented.stderr
    assert list((copy_of_finished / "shown" / "pictures").glob("*.png"))


def test_the_position_baseline(run_module, streets_root, streets_options):
    result = run_module(EVALUATE, "weights=position", *streets_options, f"data.root={streets_root}")
    assert result.returncode == 0 and "mIoU" in result.stdout


def test_fine_tuning_keeps_all_but_the_classifier(copy_of_finished, run_module, tmp_path):
    write_folder_dataset(tmp_path / "mine")
    result = run_module(
        TRAIN, *TINY, "data=folder", f"data.root={tmp_path / 'mine'}", f"weights={RUN}/checkpoints/best.ckpt"
    )
    assert result.returncode == 0, result.stderr
    assert "left out decoder.classifier" in result.stdout and "19 classes" in result.stdout


def write_folder_dataset(root):
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / "images" / split / f"{number}.png"), rng.integers(0, 255, (64, 96, 3), np.uint8))
            cv2.imwrite(str(root / "labels" / split / f"{number}.png"), rng.integers(0, 3, (64, 96), np.uint8))
    (root / "classes.yaml").write_text(
        "classes: [{name: ground, id: 0}, {name: wall, id: 1}]\nignore: [2]\nleft_out: [wall]\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data=cityscapes"], ["datasets/cityscapes", "leftImg8bit", "data.root"]),
        (["data=nowhere"], ["nowhere", "camvid_360", "streets"]),
        (["model/backbone=dilation_1_99"], ["dilation_1_99", "dilation_1_14"]),
        (["data.crop=[1,2]"], ["data.crop", "crop_size"]),
        (["los=ohem"], ["los", "loss"]),
        (["augment=null"], ["null", "--help"]),
        (["model=ddrnet23", "model/backbone=dilation_1_6"], ["ddrnet23", "dilation_1_6"]),
        (["data.train_split=training"], ["training", "trainval"]),
        (["data.crop_size=[1,2,3]"], ["data.crop_size"]),
        (["data.crop_size=768"], ["data.crop_size"]),
        (["data.batch_size=10", "trainer=default"], ["9 images", "data.batch_size"]),
        (
            ["trainer.max_epoch=2"],
            ["max_epoch does not exist", "did you mean trainer.max_epochs?"],
        ),
        (["optimizer.warmup_iters=2"], ["optimizer.warmup_iters is called scheduler.warmup_iters now"]),
        (["loss._target_=nowhere.Loss"], ["nowhere"]),
        (["++optimizer.nesterv=true"], ["optimizer.nesterv", "nesterov"]),
        (["+data.crop=3"], ["crop"]),
        (["data.batch_size=big"], ["data.batch_size", "big"]),
        (["loss=ohem", "loss.min_share=2"], ["loss.min_share"]),
        (["+callbacks.evaluation.evry=3"], ["evry"]),
        (["weights=missing.pth"], ["missing.pth"]),
        (["resume=yesterday"], ["resume=yesterday", "resume=last"]),
        (["optimizer.lr=fast"], ["optimizer.lr", "fast"]),
        (["overwrite=maybe"], ["overwrite=maybe", "true"]),
        (["hydra/launcher=parallel"], ["hydra/launcher=parallel", "-m"]),
    ],
)
def test_mistakes_get_one_sentence(run_module, streets_root, streets_options, arguments, words):
    data = [] if any(a.startswith("data=") for a in arguments) else [*streets_options, f"data.root={streets_root}"]
    assert failed(run_module(TRAIN, "trainer=smoke", *data, *arguments), *words)


def test_a_bad_file_met_by_a_worker_gets_one_sentence(run_module, streets_root, tmp_path):
    root = tmp_path / "streets"
    shutil.copytree(streets_root, root)
    _, *others = sorted(root.glob("gtFine/train/*/*.png"), key=lambda path: path.name)
    for label in others:  # the first is read before the training, to see whether there is anything to learn from
        label.write_bytes(b"no image")
    result = run_module(
        TRAIN, "data=streets", "data.dataset=cityscapes", f"data.root={root}", "data.num_workers=2",
        "data.batch_size=1",
    )  # fmt: skip
    assert failed(result, "labelIds.png", "not a readable")
    summary = (tmp_path / "runs/streets_dilation_1_14_regseg/run_seed0/summary.json").read_text()
    assert json.loads(summary)["status"] == "failed" and "Traceback" not in summary


def test_overwrite_touches_nothing_before_all_parts_are_built(copy_of_finished, run_module, streets_root):
    before = (copy_of_finished / RUN / "checkpoints" / "best.ckpt").read_bytes()
    result = run_module(TRAIN, *TINY, "data=streets", "data.dataset=cityscapes", "data.root=nowhere", "overwrite=true")
    assert failed(result, "nowhere")
    assert (copy_of_finished / RUN / "checkpoints" / "best.ckpt").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(run_module, streets_root, streets_options, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "holiday.png").write_bytes(b"precious")
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "hydra.run.dir=.", "overwrite=true"]
    assert failed(run_module(*arguments), "pictures")
    assert (tmp_path / "pictures" / "holiday.png").exists()


def test_a_run_that_goes_on_elsewhere_is_not_started_twice(copy_of_finished, run_module, streets_root, streets_options):
    summary = copy_of_finished / RUN / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"running"'))
    (copy_of_finished / RUN / "checkpoints" / "last.ckpt").unlink()
    with hold(copy_of_finished / RUN):
        result = run_module(TRAIN, *TINY, *streets_options, f"data.root={streets_root}")
        assert failed(result, "running", "overwrite=true")
        result = run_module(TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "overwrite=true")
        assert failed(result, "another process")


def test_a_run_of_an_earlier_version_is_continued(copy_of_finished, run_module, streets_root, streets_options):
    """Its configuration, its checkpoints and their record hold the options by their former names."""
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
    (run / "checkpoints" / "last.ckpt").unlink()
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "resume=last"]
    assert failed(run_module(*arguments, "loss=ohem", f"hydra.run.dir={RUN}"), "loss=CrossEntropy, not OHEM")
    result = run_module(*arguments)
    assert result.returncode == 0 and "continuing from previous.ckpt at epoch 1" in result.stdout, result.stderr
    assert len((run / "metrics.csv").read_text().splitlines()) == 3


def test_resuming_with_another_setting_is_refused(copy_of_finished, run_module, streets_root, streets_options):
    summary = copy_of_finished / RUN / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "resume=last", "hydra.run.dir=" + RUN]
    assert failed(run_module(*arguments, "optimizer.lr=0.5"), "optimizer.lr=0.05", "0.5")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["weights=nofile.ckpt"], ["nofile.ckpt"]),
        (["weights=position"], ["data=cityscapes"]),
        (["weights=position", "data=cityscapes"], ["datasets/cityscapes", "set data.root"]),
        (["weights=position", "data=cityscapes", "scales=0.5"], ["scales=[0.75,1.0]"]),
        (["weights=position", "data=cityscapes", "val_sizes=[64]", "pictures=drawn"], ["val_sizes", "pictures"]),
        ([], ["weights is missing"]),
        (["weights=position", "root=x"], ["root is called data.root now"]),
        (["weights=position", "data.rot=x"], ["data.rot", "root"]),
    ],
)
def test_mistakes_of_evaluate(run_module, arguments, words):
    assert failed(run_module(EVALUATE, *arguments), *words)


def test_evaluate_refuses_foreign_classes(copy_of_finished, run_module, tmp_path):
    write_folder_dataset(tmp_path / "mine")
    result = run_module(
        EVALUATE, f"weights={RUN}/checkpoints/best.ckpt", "data=folder", f"data.root={tmp_path / 'mine'}"
    )
    assert failed(result, "other classes")


def test_a_checkpoint_of_another_model_is_refused(copy_of_finished, run_module, streets_root, streets_options):
    arguments = [TRAIN, "trainer=smoke", *streets_options, f"data.root={streets_root}"]
    assert failed(run_module(*arguments, f"weights={RUN}/checkpoints/best.ckpt", "run.name=other"), "another model")
    summary = copy_of_finished / RUN / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    with_decoder = ["resume=last", "model/decoder=lraspp", "hydra.run.dir=" + RUN]
    assert failed(run_module(*arguments, *with_decoder), "model.")


def test_rows_of_a_sweep_under_an_experiment_have_folders_of_their_own(
    run_module, streets_root, streets_options, tmp_path
):
    result = run_module(
        TRAIN, "-m", "experiment=demo", "trainer=smoke", *streets_options, f"data.root={streets_root}",
        "model/decoder=regseg,lraspp", "trainer.max_epochs=1",
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


def test_two_processes(run_module, streets_root, streets_options, tmp_path):
    """DDP on two CPU processes: one folder, one table, every validation image counted once."""
    arguments = [TRAIN, *TINY, *streets_options, f"data.root={streets_root}", "trainer.devices=2"]
    result = run_module(*arguments, "trainer.strategy=ddp", "trainer.max_epochs=1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("┃ class") == 1
    assert len((tmp_path / RUN / "metrics.csv").read_text().splitlines()) == 2
    alone = run_module(EVALUATE, f"weights={RUN}/checkpoints/last.ckpt")
    assert alone.stdout[alone.stdout.index("┃ class") :] in result.stdout


def test_interrupted_by_a_person(run_module, streets_root, streets_options, tmp_path):
    command = [
        sys.executable, "-m", TRAIN, "trainer=smoke", *streets_options, f"data.root={streets_root}",
        "model.backbone.dilations=[[1]]", "trainer.max_epochs=2", "callbacks.stall={_target_: tests_stall.Stall}",
    ]  # fmt: skip
    (tmp_path / "tests_stall.py").write_text(
        "import time, lightning\n"
        "class Stall(lightning.Callback):\n"
        "    def on_train_epoch_start(self, trainer, module):\n"
        "        if trainer.current_epoch == 1: print('STALL', flush=True); time.sleep(60)\n"
    )
    command[-1] = "+" + command[-1]
    # Where the tests run in a shell's background, they and what they start ignore the signal otherwise.
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stdout:
        if "STALL" in line:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "resume=last" in output and "Traceback" not in errors
    summary = json.loads((tmp_path / RUN / "summary.json").read_text())
    assert summary["status"] == "interrupted" and summary["last"]["epoch"] == 0

    again = run_module(TRAIN, *command[3:-1])
    assert failed(again, "interrupted", "resume=last")
    resumed = run_module(TRAIN, *command[3:-1], "resume=last")
    assert resumed.returncode == 0, resumed.stderr
    assert len((tmp_path / RUN / "metrics.csv").read_text().splitlines()) == 3


def test_interrupted_outside_of_training(run_module, tmp_path):
    (tmp_path / "tests_key.py").write_text("class Pressed:\n    def __init__(self, root): raise KeyboardInterrupt\n")
    result = run_module("regseg.prepare", "what=check", "data=folder", "data.dataset=tests_key.Pressed", "data.root=.")
    assert (result.returncode, result.stderr) == (130, "regseg: interrupted.\n")


def test_a_place_that_is_closed_or_full_is_named():
    closed, full = PermissionError(errno.EACCES, "Permission denied", "runs"), OSError(errno.ENOSPC, "No space left")
    assert explain(closed)[0] == 2 and explain(closed)[1].startswith("runs cannot be read or wr")
    assert explain(full)[0] == 1 and "No space left" in explain(full)[1]
    assert explain(FileNotFoundError(errno.ENOENT, "No such file", "of ours")) is None


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
