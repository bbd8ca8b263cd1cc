"""`python -m regseg.prepare`, `regseg.benchmark` and `evaluate val_sizes=…`, as their users run them."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from layouts import write_folder

from regseg.data.datasets.camvid import CamVid
from regseg.dataset_tools.check import find_problems


def prepare(run_module, what, root, *more, out="out"):
    sizes = ("data.crop_size=[16,20]", "data.short_side=[14,60]", "data.batch_size=2", "data.num_workers=0")
    return run_module("regseg.prepare", f"what={what}", "data=folder", f"data.root={root}", f"out={out}", *sizes, *more)


def test_a_sound_dataset_has_no_problem(run_module, mine):
    result = prepare(run_module, "check", mine)
    assert result.returncode == 0 and "No problems in 10 pairs (6 in train, 2 in val, 2 in test)" in result.stdout


def test_every_problem_is_found_in_one_pass(run_module, mine, tmp_path):
    images, labels = mine / "images" / "train", mine / "labels" / "train"
    (labels / "0.png").unlink()
    (images / "1.png").write_bytes(b"")
    cv2.imwrite(str(labels / "2.png"), np.full((5, 5), 1, np.uint8))
    label = cv2.imread(str(labels / "3.png"), cv2.IMREAD_UNCHANGED)
    label[0, 0] = 77
    cv2.imwrite(str(labels / "3.png"), label)
    cv2.imwrite(str(labels / "orphan.png"), label)
    (images / "4.jpg").write_bytes((images / "4.png").read_bytes())
    for folder in ("images", "labels"):
        (mine / folder / "val").rename(mine / folder / "unused")
        shutil.rmtree(mine / folder / "test")  # not every dataset has one
    result = prepare(run_module, "check", mine)
    assert result.returncode == 2 and len(result.stderr.strip().splitlines()) == 1
    listed = (tmp_path / "out" / "problems.txt").read_text().splitlines()
    kinds = sorted(line.partition(":")[0] for line in listed)
    assert kinds == sorted(
        [
            "no label",
            "unreadable image",
            "sizes differ",
            "unusable label",
            "label without image",
            "shared label",
            "no split val",
        ]
    )
    assert "There is no test split" in result.stdout
    assert "7 problems" in result.stderr and "77" in "".join(listed)
    for name in ("0.png", "1.png", "2.png", "3.png", "orphan.png", "4.jpg"):
        assert any(name in line for line in listed), name


def test_camvid_is_sound(camvid_root):
    dataset = CamVid(camvid_root)
    assert find_problems(dataset, dataset.spec, camvid_root, ("train", "val")) == (
        [],
        {"train": 367, "val": 101, "test": 233},
    )


def test_the_contact_sheet_shows_crops_labels_and_names(run_module, mine, tmp_path):
    result = prepare(run_module, "show", mine)
    assert result.returncode == 0, result.stderr
    sheet = cv2.imread(str(tmp_path / "out" / "crops.png"))
    assert sheet is not None and sheet.shape[1] > 1400 and "6 training crops" in result.stdout


@pytest.mark.parametrize(("what", "suffix", "count"), [("half", ".png", 8), ("cache", ".npy", 8)])
def test_storages_are_made_for_every_split_there_is(run_module, mine, what, suffix, count):
    for folder in ("images", "labels"):
        (mine / folder / "test").rename(mine / folder / "unused")
    result = prepare(run_module, what, mine)
    assert result.returncode == 0, result.stderr
    assert len(list((mine / ".regseg" / what).rglob(f"*{suffix}"))) == count
    assert f"{count} files" in result.stdout and "Skipping the split test (training does not need it)" in result.stdout


def test_rare_classes_are_seen_more_often(run_module, tmp_path):
    """A class in a corner of a few images: plain sampling rarely sees it, class-uniform sampling in half its crops."""
    root = write_folder(tmp_path / "rare", (("train", 0), ("val", 2)))
    for number in range(40):
        label = np.zeros((60, 80), np.uint8)
        label[:6, :6] = number < 3
        for folder, pixels in (("images", np.full((60, 80, 3), 90, np.uint8)), ("labels", label)):
            path = root / folder / "train" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
    result = prepare(run_module, "report", root)
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "out" / "class_frequencies.csv", newline="") as file:
        rows = {
            row["class"]: {key: float(value) for key, value in row.items() if key != "class"}
            for row in csv.DictReader(file)
        }
    assert rows["wall"]["pixels in files"] == pytest.approx(3 * 36 / (40 * 4800), abs=1e-6)
    assert rows["wall"]["crops, uniform"] > 0.2 > 4 * rows["wall"]["crops, plain"]
    assert rows["wall"]["pixels, uniform"] > 3 * rows["wall"]["pixels, plain"]
    assert cv2.imread(str(tmp_path / "out" / "class_frequencies.png")).shape[1] > 1000


def test_an_unknown_action_is_named(run_module, mine):
    for module in ("regseg.prepare", "regseg.benchmark"):
        result = run_module(module, "what=dance")
        assert result.returncode == 2 and "what=dance does not exist; choose one of" in result.stderr


def test_several_sizes_equal_each_alone(run_module, mine, tmp_path):
    run = tmp_path / "runs"
    training = run_module(
        "regseg.train",
        "data=folder",
        f"data.root={mine}",
        "trainer=smoke",
        f"hydra.run.dir={run}",
        "model/decoder=lraspp",
    )
    assert training.returncode == 0, training.stderr
    weights = f"weights={run}/checkpoints/last.ckpt"
    result = run_module("regseg.evaluate", weights, "val_sizes=[40,20]", "trainer.precision=32-true")
    assert result.returncode == 0, result.stderr
    found = json.loads((run / "val_sizes.json").read_text())
    assert [entry["val_size"] for entry in found] == [20, 40] and (run / "val_sizes.png").exists()
    alone = run_module("regseg.evaluate", weights, "val_size=20", "trainer.precision=32-true")
    line = next(line for line in alone.stdout.splitlines() if line.startswith("│ mIoU"))
    assert float(line.split("│")[2]) == pytest.approx(100 * found[0]["metrics"]["val/miou"], abs=0.006)


@pytest.mark.parametrize("sizes", ["512", "[0]"])
def test_wrong_sizes_are_reported(run_module, sizes):
    result = run_module("regseg.evaluate", "weights=position", "data=streets", f"val_sizes={sizes}")
    assert result.returncode == 2 and "val_sizes" in result.stderr
