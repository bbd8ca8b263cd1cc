"""A custom dataset without split folders, which is divided by the names of its files."""

import re

import pytest
from layouts import indices, is_sentence, noise, write

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.folder import Folder
from regseg.errors import InputError


def flat(root, names):
    for number, name in enumerate(names):
        write(root / f"images/{name}.png", noise(number))
        write(root / f"labels/{name}.png", indices(number, [0, 1]))
    (root / "classes.yaml").write_text("classes: [{name: a, id: 0}, {name: b, id: 1}]")
    return root


def names_of(folder, split):
    return {
        sample.image.relative_to(folder.root / "images").with_suffix("").as_posix() for sample in folder.samples(split)
    }


def test_a_flat_folder_is_divided_by_names(tmp_path):
    root = flat(tmp_path, [f"{number:03d}" for number in range(40)])
    folder = Folder(root)
    train, val = names_of(folder, "train"), names_of(folder, "val")
    assert not train & val and len(train | val) == 40 and 3 <= len(val) <= 14
    assert names_of(folder, "trainval") == train | val
    assert len(names_of(Folder(root, val_share=0.5), "val")) > len(val)
    flat(tmp_path, [f"new{number}" for number in range(10)])
    assert train <= names_of(folder, "train") and val <= names_of(folder, "val")  # adding images moves none
    (root / "images/001.png").rename(root / "images/001.jpg")
    assert train <= names_of(folder, "train") and val <= names_of(folder, "val")


def test_drives_stay_together(tmp_path):
    root = flat(tmp_path, [f"drive{drive}/cam{frame % 2}/{frame}" for drive in range(12) for frame in range(3)])
    folder = Folder(root, split_by="folder", val_share=0.4)
    drives = [{name.split("/")[0] for name in names_of(folder, split)} for split in ("train", "val")]
    assert not drives[0] & drives[1] and len(drives[0] | drives[1]) == 12
    flat(tmp_path, ["alone"])
    with pytest.raises(InputError) as error:
        folder.samples("train")
    assert is_sentence(error, "alone.png", "data.split_by")


def test_drives_may_be_called_like_a_split_with_a_number(tmp_path):
    root = flat(tmp_path, [f"test{drive:04d}/{frame}" for drive in range(12) for frame in range(3)])
    folder = Folder(root, split_by="folder", val_share=0.4)
    assert len(names_of(folder, "train") | names_of(folder, "val")) == 36


@pytest.mark.parametrize(("share", "split"), [(0.01, "val"), (0.99, "train")])
def test_an_empty_split_tells_a_share_that_fills_it(tmp_path, share, split):
    root = flat(tmp_path, [f"drive{drive}/{frame}" for drive in range(5) for frame in range(2)])
    with pytest.raises(InputError) as error:
        Folder(root, split_by="folder", val_share=share).samples(split)
    assert is_sentence(error, f"data.val_share={share}", "subfolders", f"split {split}", "of 5 into val")
    better = float(re.search(r"data.val_share=(\S+) puts", str(error.value))[1])
    folder = Folder(root, split_by="folder", val_share=better)
    assert folder.samples("train") and folder.samples("val")


def test_a_single_image_cannot_be_divided(tmp_path):
    with pytest.raises(InputError) as error:
        Folder(flat(tmp_path, ["a"]), val_share=0).samples("val")
    assert is_sentence(error, "data.val_split=train")
    with pytest.raises(InputError) as error:
        Folder(flat(tmp_path, ["a"]), val_share=1).samples("train")
    assert is_sentence(error, "data.val_share=0 data.val_split=train")


def test_what_a_flat_folder_cannot_give(tmp_path):
    root = flat(tmp_path, ["a", "b"])
    for folder, split, words in (
        (Folder(root), "test", ["test"]),
        (Folder(root, val_share=0), "val", ["data.val_share=0"]),
        (Folder(root, val_share=1), "train", ["data.val_share=1"]),
    ):
        with pytest.raises(InputError) as error:
            folder.samples(split)
        assert is_sentence(error, *words)
    for options in ({"val_share": 1.5}, {"val_share": "much"}, {"split_by": "drive"}):
        with pytest.raises(InputError) as error:
            Folder(root, **options)
        assert is_sentence(error, *options)


def test_the_division_is_stored_and_given_by_keyword(tmp_path):
    root = flat(tmp_path, [str(number) for number in range(20)])
    data = SegmentationDataModule("folder", root, crop_size=(8, 8), short_side=(8, 8), val_share=0.5)
    assert data.hparams["options"] == {"val_share": 0.5} and "val_share" not in data.hparams
    again = SegmentationDataModule.from_description(dict(data.hparams), "a checkpoint")
    assert again.dataset.val_share == 0.5
    with pytest.raises(InputError) as error:
        SegmentationDataModule("folder", root, crop_size=(8, 8), short_side=(8, 8), val_shar=0.5)
    assert is_sentence(error, "data.val_shar", "val_share")


@pytest.mark.parametrize(
    "names", [("Train", "Val"), ("training", "testing"), ("train2017", "val2017"), ("TRAIN", "drive")]
)
@pytest.mark.parametrize("split_by", ["image", "folder"])
def test_splits_under_other_names_are_not_divided_again(tmp_path, names, split_by):
    """Their images would be mixed, so that training images would be evaluated."""
    root = flat(tmp_path, [f"{name}/{number}" for name in names for number in range(9)])
    for split in ("train", "val"):
        with pytest.raises(InputError) as error:
            Folder(root, split_by=split_by).samples(split)
        assert is_sentence(error, f"images/{min(names)} is named like a split", "looked for", "rename")


def test_labels_in_split_folders_without_those_of_images(tmp_path):
    root = flat(tmp_path, ["a", "b"])
    (root / "labels/train").mkdir()
    with pytest.raises(InputError) as error:
        Folder(root).samples("train")
    assert is_sentence(error, root / "labels/train", root / "images", "in the same way")
