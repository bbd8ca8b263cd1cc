"""experiment=finetune: what follows from the images found, and a training with it."""

import re

import pytest
from layouts import noise, write, write_folder
from omegaconf import OmegaConf

from regseg.auto_values import fill_in, images_sizes, processes, sizes, weights_of
from regseg.run_dir import read_metrics, read_summary


@pytest.mark.parametrize(
    ("found", "crop", "short_side", "val_size"),
    [
        ([(360, 480)] * 3, [360, 480], [144, 576], 360),
        ([(360, 480), (360, 480), (2000, 100)], [360, 480], [144, 576], 360),  # the usual size counts
        ([(3000, 4000)], [768, 768], [410, 1638], 1024),
        ([(1024, 2048)], [768, 768], [410, 1638], 1024),
        ([(720, 960)], [720, 768], [288, 1152], 720),
        ([(20, 30)], [32, 32], [32, 32], 32),
    ],
)
def test_sizes_follow_from_the_images(found, crop, short_side, val_size):
    assert sizes(found) == {"data.crop_size": crop, "data.short_side": short_side, "data.val_size": val_size}


def test_sizes_of_some_images_over_the_list(tmp_path):
    paths = [write(tmp_path / f"{number:03d}.png", noise(0, (10, 20 + number // 60))) for number in range(120)]
    assert len(images_sizes(paths)) == 50 and {width for _, width in images_sizes(paths)} == {20, 21}


def test_shipped_weights_of_a_model():
    regseg = {"name": "regseg", "backbone": {"name": "dilation_1_14", "dilations": None}, "decoder": {"name": "regseg"}}
    assert weights_of(regseg) == "camvid_360"
    assert weights_of(regseg | {"backbone": {"name": "dilation_1_6", "dilations": None}}) is None
    assert weights_of(regseg | {"backbone": {"name": "dilation_1_14", "dilations": [[1]]}}) is None
    assert weights_of(regseg | {"decoder": {"name": "lraspp"}}) is None
    assert weights_of({"name": "ddrnet23"}) is None
    assert weights_of(regseg | {"backbone": "dilation_1_14"}) == "camvid_360"
    assert weights_of(regseg | {"backbone": [[1], [1, 2]]}) is None
    other_decoder = regseg | {"decoder": {"name": "lraspp"}}
    assert weights_of(other_decoder, "backbone") == "camvid_360" and weights_of(other_decoder) is None


@pytest.mark.parametrize(
    ("options", "batch", "epochs"),
    [
        ([], 8, 2000),
        (["data.batch_size=1"], 1, 200),
        (["trainer.devices=2"], 5, 2000),
        (["trainer.devices=[0,1]", "data.batch_size=1"], 1, 400),
        (["+trainer.num_nodes=2", "data.batch_size=1", "+trainer.accumulate_grad_batches=2"], 1, 667),
        (["trainer.devices=auto", "data.batch_size=1"], 1, 200),  # of a CPU: one process
        (["+trainer.limit_train_batches=4", "data.batch_size=1"], 1, 500),
        (["+trainer.limit_train_batches=0.25", "data.batch_size=1"], 1, 1000),
        (["+trainer.limit_train_batches=99", "data.batch_size=1"], 1, 200),
    ],
)
def test_iterations_count_all_processes_and_accumulated_batches(compose, tmp_path, options, batch, epochs):
    """Ten images are five per device; an epoch ends with a step, whatever is accumulated."""
    root = write_folder(tmp_path / "mine", (("train", 10), ("val", 2)))
    cfg = compose("experiment=finetune", f"data.root={root}", "trainer.accelerator=cpu", "data.num_workers=0", *options)
    OmegaConf.resolve(cfg.data)
    fill_in(cfg)
    assert (cfg.data.batch_size, cfg.trainer.max_epochs) == (batch, epochs)


def test_a_small_dataset_trains(run_module, tmp_path):
    root = write_folder(tmp_path / "mine", (("train", 5), ("val", 2)))
    arguments = ["experiment=finetune", f"data.root={root}", "data.num_workers=0", "trainer.accelerator=cpu"]
    result = run_module("regseg.train", *arguments, "++trainer.max_steps=3", "callbacks.pictures=null")
    assert result.returncode == 0, result.stderr
    assert re.search(r"Loaded 4\d\d of 470 tensors from camvid_360\.", result.stdout)
    assert "Skipped decoder.classifier" in result.stdout  # of 11 classes
    assert "From the images found: data.batch_size=5, data.crop_size=[32,32]" in result.stdout
    assert "trainer.max_epochs=2000, callbacks.evaluation.every=100" in result.stdout
    summary = read_summary(tmp_path / "runs" / "finetune_mine" / "run_seed0")
    assert summary["config"]["data"]["short_side"] == [32, 38] and summary["config"]["data"]["val_size"] == 32
    assert len(read_metrics(tmp_path / "runs" / "finetune_mine" / "run_seed0")) == 3
    assert summary["config"]["weights"] == "camvid_360"
    hint = "label photographs: python -m regseg.predict weights=runs/finetune_mine/run_seed0 source=FOLDER"
    assert hint in result.stdout
    mixed = run_module("regseg.train", *arguments, "data.crop_size=[16,16]", "trainer.max_epochs=1", "run.name=b")
    assert mixed.returncode == 0 and "crop_size" not in mixed.stdout and "max_epochs" not in mixed.stdout
    smoke = run_module("regseg.train", *arguments, "trainer=smoke", "run.name=c")
    assert smoke.returncode == 0, smoke.stderr
    nothing = run_module("regseg.train", "experiment=finetune", "data.root=nowhere")
    assert nothing.returncode == 2 and "nowhere" in nothing.stderr and "Traceback" not in nothing.stderr


@pytest.mark.parametrize(
    ("trainer", "number"),
    [
        ({}, 1),
        ({"devices": 2, "num_nodes": 3}, 6),
        ({"devices": "2"}, 2),
        ({"devices": "0,1,"}, 2),
        ({"devices": [1]}, 1),
    ],
)
def test_the_number_of_processes(trainer, number):
    assert processes(trainer) == number
