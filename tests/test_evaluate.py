"""`python -m regseg.evaluate`."""

import json

import pytest
from commands import EVALUATE, RUN, failed, write_folder_dataset


def test_evaluate_agrees_with_training(copy_of_finished, run_module, finished):
    # Smoke looked at two of the three images at short side 64; the checkpoint records data, size and network.
    result = run_module(EVALUATE, f"weights={RUN}/checkpoints/last.ckpt", "trainer.limit_val_batches=2")
    table = result.stdout[result.stdout.index("┃ class") :]
    assert result.returncode == 0 and table in finished[1].stdout
    augmented = run_module(
        EVALUATE, f"weights={RUN}/checkpoints/last.ckpt", "split=test", "val_size=48", "flip=true", "scales=[0.75,1]",
        "pictures=shown",
    )  # fmt: skip
    assert augmented.returncode == 0 and "split test" in augmented.stdout, augmented.stderr
    assert list((copy_of_finished / "shown" / "pictures").glob("*.png"))


def test_pictures_true_is_a_folder_in_the_run(copy_of_finished, run_module):
    trained = sorted((copy_of_finished / RUN / "pictures").glob("*.png"))
    before = [path.read_bytes() for path in trained]
    options = ["pictures=true", "worst=1", "confusion=true", "trainer.limit_val_batches=1"]
    result = run_module(EVALUATE, f"weights={RUN}/checkpoints/last.ckpt", *options)
    assert result.returncode == 0, result.stderr
    folder = copy_of_finished / RUN / "evaluation"
    assert "1 of the 3 images in" in result.stdout  # scores of a part are not mistaken for those of the split
    assert {path.name for path in folder.iterdir()} == {"pictures", "worst.png", "worst.csv", "confusion.png"}
    assert (folder / "pictures" / "val.png").exists()
    assert f"pictures: {RUN}/evaluation/pictures/val.png" in result.stdout
    assert before and [path.read_bytes() for path in trained] == before


def test_a_smoke_test_is_not_an_evaluation(run_module):
    assert failed(run_module(EVALUATE, "weights=position", "trainer=smoke"), "trainer=smoke", "limit_val_batches=2")


def test_a_file_in_place_of_the_folder_of_pictures_is_noticed_at_once(run_module, tmp_path):
    (tmp_path / "scores.txt").touch()
    result = run_module(EVALUATE, "weights=position", "pictures=scores.txt")
    assert failed(result, "pictures=scores.txt is not a folder")


def test_the_position_baseline(run_module, streets_root, streets_options):
    result = run_module(EVALUATE, "weights=position", *streets_options, f"data.root={streets_root}")
    assert result.returncode == 0 and "mIoU" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["weights=nofile.ckpt"], ["nofile.ckpt"]),
        (["weights=position"], ["data=cityscapes"]),
        (["weights=position", "data=cityscapes"], ["datasets/cityscapes", "set data.root"]),
        (["weights=position", "data=cityscapes", "scales=0.5"], ["scales=[0.75,1.0]"]),
        (["weights=position", "data=cityscapes", "val_sizes=[64]", "pictures=drawn"], ["val_sizes", "pictures"]),
        (["weights=position", "data=cityscapes", "flip=maybe"], ["flip=maybe is not a boolean"]),
        (["weights=position", "data=cityscapes", "split=null"], ["split=null is not a split; choose one of train"]),
        (["weights=position", "data=cityscapes", "scales=[inf]"], ["scales=inf is not a number from 0.01 to 10"]),
        (["weights=position", "data=cityscapes", "val_sizes=[64,32769]"], ["val_sizes=32769 is not an integer from 1"]),
        (["weights=position", "data=cityscapes", "worst=0"], ["worst=0 is not an integer of at least 1"]),
        ([], ["weights is missing"]),
        (["weights=position", "root=x"], ["root was renamed; use data.root"]),
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


def test_a_run_is_named_by_its_folder(copy_of_finished, run_module):
    by_folder = run_module(EVALUATE, f"weights={RUN}")
    by_file = run_module(EVALUATE, f"weights={RUN}/checkpoints/best.ckpt")
    assert by_folder.returncode == 0 and "Using" in by_folder.stdout and "best.ckpt" in by_folder.stdout
    assert by_folder.stdout[by_folder.stdout.index("┃ class") :] == by_file.stdout[by_file.stdout.index("┃ class") :]
    empty = copy_of_finished / "empty"
    empty.mkdir()
    assert failed(run_module(EVALUATE, f"weights={empty}"), "empty", "best.ckpt")


SIZES = ["val_sizes=[48,64]", "flip=true", "trainer.limit_val_batches=2"]


@pytest.mark.parametrize("options", [[], SIZES], ids=["one size", "two sizes"])
def test_the_checkpoint_is_read_once(copy_of_finished, run_module, tmp_path, options):
    """Reading it checks the checksums of the whole file."""
    (tmp_path / "counted.py").write_text(
        "import zipfile\n"
        "whole = zipfile.ZipFile.testzip\n"
        "def counted(self):\n"
        f"    with open({str(tmp_path / 'reads')!r}, 'a') as file: file.write('read ')\n"
        "    return whole(self)\n"
        "zipfile.ZipFile.testzip = counted\n"
    )
    (tmp_path / "run_counted.py").write_text(
        "import runpy, counted\nrunpy.run_module('regseg.evaluate', run_name='__main__', alter_sys=True)\n"
    )
    result = run_module("run_counted", f"weights={RUN}", *options, env={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "reads").read_text().split() == ["read"]
    for entry in json.loads((copy_of_finished / RUN / "val_sizes.json").read_text()) if options else ():
        known = {"weights": "best.ckpt", "dataset": "streets", "split": "val", "flip": True, "scales": [1.0]}
        assert entry == entry | known | {"images": 2, "images_of_split": 3}
