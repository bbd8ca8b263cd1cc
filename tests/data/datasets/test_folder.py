"""A custom dataset in folders."""

import shutil

import numpy as np
import pytest
from layouts import indices, is_sentence, noise, write, write_folder

from regseg.data.datasets.folder import Folder
from regseg.data.io import read_sample
from regseg.errors import InputError


def test_images_and_labels_are_found(tmp_path):
    dataset = Folder(write_folder(tmp_path))
    assert [sample.image.name for sample in dataset.samples("train")] == ["0.png", "1.png", "2.png", "3.png"]
    assert len(dataset.samples("trainval")) == 6
    image, label = read_sample(dataset.samples("val")[1], dataset.spec)
    assert np.array_equal(image, noise(1)) and np.array_equal(label, indices(1, [0, 1, 255]))


def test_subfolders_dots_in_names_and_suffixes_in_capitals(tmp_path):
    root = write_folder(tmp_path, counts=())
    for image, label in (
        ("day/a.v2.JPG", "day/a.v2.png"),
        ("day/b.jpeg", "day/b.PNG"),
        ("night/a.v2.png", "night/a.v2.png"),
    ):
        write(root / "images/train" / image, noise(0))
        write(root / "labels/train" / label, indices(0, [0, 1]))
    samples = Folder(root).samples("train")
    assert [str(sample.label.relative_to(root / "labels/train")) for sample in samples] == [
        "day/a.v2.png", "night/a.v2.png", "day/b.PNG"
    ]  # fmt: skip
    assert read_sample(samples[0], Folder(root).spec)[1].shape == (24, 32)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (".", ["is missing", "<root>/images/<split>", "classes.yaml", "data.root"]),
        ("images", ["mine/images is missing", "data.root"]),
        ("images/train", ["images/train is missing", "the images of the split train", "data.root"]),
        ("labels", ["labels/train is missing", "the labels of the split train", "data.root"]),
    ],
)
def test_what_is_missing_is_named(tmp_path, gone, words):
    root = write_folder(tmp_path / "mine")
    shutil.rmtree(root / gone)
    with pytest.raises(InputError) as error:
        Folder(root).samples("train")
    assert is_sentence(error, root, *words)


@pytest.mark.parametrize("splits", [True, False])
def test_labels_in_a_folder_of_another_name_are_noticed(tmp_path, splits):
    root = write_folder(tmp_path / "mine")
    (root / "labels").rename(root / "masks")
    if not splits:
        for kind in ("images", "masks"):
            (root / kind / "train").rename(root / kind / "drive1")
            shutil.rmtree(root / kind / "val")
    with pytest.raises(InputError) as error:
        Folder(root).samples("train")
    assert is_sentence(error, root / "labels", f"is missing; rename {root / 'masks'} to labels, or put")


def test_a_root_above_the_dataset_is_noticed(tmp_path):
    """Unpacked archives often contain a folder of the same name."""
    write_folder(tmp_path / "mine/mine")
    with pytest.raises(InputError) as error:
        Folder(tmp_path / "mine").samples("train")
    assert is_sentence(error, "mine/images is missing", f"perhaps data.root={tmp_path / 'mine/mine'} is meant")


def test_a_root_inside_the_dataset_is_noticed(tmp_path):
    root = write_folder(tmp_path / "mine")
    with pytest.raises(InputError) as error:
        Folder(root / "images").samples("train")
    assert is_sentence(error, "images/images is missing", f"perhaps data.root={root} is meant")


def test_images_in_a_folder_of_another_name_are_noticed(tmp_path):
    """CVAT and PASCAL VOC call it JPEGImages."""
    root = write_folder(tmp_path / "mine")
    (root / "images").rename(root / "JPEGImages")
    with pytest.raises(InputError) as error:
        Folder(root).samples("train")
    assert is_sentence(error, f"{root / 'images'} is missing; rename {root / 'JPEGImages'} to images, or put")


def test_all_images_in_one_split(tmp_path):
    root = write_folder(tmp_path / "mine", (("train", 3),))
    with pytest.raises(InputError) as error:
        Folder(root).samples("val")
    assert is_sentence(error, root / "images/val", "data.val_split=train")


@pytest.mark.parametrize("layout", ["images/{}", "{}/images"])
def test_a_split_under_another_name_is_named(tmp_path, layout):
    root = write_folder(tmp_path / "mine")
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            target = root / layout.replace("images", kind).format({"val": "Val2017"}.get(split, split))
            target.parent.mkdir(exist_ok=True)
            (root / kind / split).rename(target)
    if layout == "{}/images":
        shutil.rmtree(root / "images")
    assert len(Folder(root).samples("train")) == 4
    with pytest.raises(InputError) as error:
        Folder(root).samples("val")
    assert is_sentence(error, root / layout.format("Val2017").removesuffix("/images"), root / layout.format("val"))


def test_damaged_files_are_reported(tmp_path):
    root = write_folder(tmp_path)
    (root / "labels/train/1.png").unlink()
    with pytest.raises(InputError) as error:
        Folder(root).samples("train")
    assert is_sentence(error, root / "images/train/1.png", root / "labels/train/1.png")

    write(root / "images/val/1.jpg", noise(0))
    with pytest.raises(InputError) as error:
        Folder(root).samples("val")
    assert is_sentence(error, root / "images/val/1.jpg", root / "images/val/1.png", "rename")

    (root / "classes.yaml").unlink()
    with pytest.raises(InputError) as error:
        _ = Folder(root).spec
    assert is_sentence(error, root / "classes.yaml", "missing")


@pytest.mark.parametrize("ending", ["_mask", "_label", "_labels"])
def test_names_of_labels_may_have_an_ending(tmp_path, ending):
    root = write_folder(tmp_path / "mine")
    before = Folder(root).samples("train")
    for _, label in before:
        label.rename(label.with_name(f"{label.stem}{ending}.png"))
    after = Folder(root).samples("train")
    assert [image for image, _ in after] == [image for image, _ in before]
    assert [label.stem for _, label in after] == [f"{label.stem}{ending}" for _, label in before]


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_other_names_of_the_split_val(tmp_path, name):
    root = write_folder(tmp_path / "mine")
    before = Folder(root).samples("val")
    for kind in ("images", "labels"):
        (root / kind / "val").rename(root / kind / name)
    assert len(Folder(root).samples("val")) == len(before)
    assert len(Folder(root).samples("trainval")) == len(before) + len(Folder(root).samples("train"))


def test_the_folder_of_a_split_may_contain_images_and_labels(tmp_path):
    root = write_folder(tmp_path / "mine")
    before = {split: [image.name for image, _ in Folder(root).samples(split)] for split in ("train", "val")}
    for part, name in (("train", "train"), ("val", "valid")):
        (root / name).mkdir()
        for kind in ("images", "labels"):
            (root / kind / part).rename(root / name / kind)
    for kind in ("images", "labels"):
        (root / kind).rmdir()
    assert Folder(root).samples("train")[0] == (root / "train/images/0.png", root / "train/labels/0.png")
    assert {split: [image.name for image, _ in Folder(root).samples(split)] for split in before} == before
    with pytest.raises(InputError) as error:
        Folder(root).samples("test")
    assert is_sentence(error, root / "test/images")
