"""Listing of images and pairing with labels."""

import os
from pathlib import Path

import pytest
from layouts import is_sentence, noise, write

from regseg.data.datasets.layout import Sample, check_pairs, check_split, image_files, split_of
from regseg.errors import InputError


def test_images_are_listed_in_order_and_nothing_else(tmp_path):
    names = ["b/2.JPG", "b/1.png", "a.TIFF", "c.webp"]
    clutter = [
        ".DS_Store", "._a.TIFF", "Thumbs.db", "notes.txt", ".hidden.png", ".ipynb_checkpoints/a.png", "b/._1.png", "png"
    ]  # fmt: skip
    for name in names + clutter:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert image_files(tmp_path) == [tmp_path / name for name in ("a.TIFF", "b/1.png", "b/2.JPG", "c.webp")]


def test_linked_files_and_folders_are_listed(tmp_path):
    write(tmp_path / "elsewhere/city/1.png", noise(0))
    (tmp_path / "train").mkdir()
    try:
        os.symlink(tmp_path / "elsewhere/city", tmp_path / "train/city", target_is_directory=True)
        os.symlink(tmp_path / "elsewhere/city/1.png", tmp_path / "train/2.png")
        os.symlink(tmp_path / "train", tmp_path / "linked", target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    assert image_files(tmp_path / "linked") == [tmp_path / "linked/2.png", tmp_path / "linked/city/1.png"]


@pytest.mark.parametrize(
    "links",
    [
        {"images/train/again": ".."},  # it also contains val
        {"images/train/again": "."},
        {"images/train/city/again": "../../.."},
        {"images/train/city/there": "../../../other", "other/back": "../images/train"},
    ],
)
@pytest.mark.parametrize("behind_link", [False, True])
def test_a_link_to_a_folder_that_contains_it_is_skipped(tmp_path, links, behind_link):
    for name in ("images/train/city/1.png", "images/val/2.png", "other/3.png"):
        write(tmp_path / name, noise(0))
    for name, target in links.items():
        os.symlink(target, tmp_path / name, target_is_directory=True)
    os.symlink("images/train", tmp_path / "linked", target_is_directory=True)
    found = image_files(tmp_path / ("linked" if behind_link else "images/train"))
    assert [path.name for path in found] == (["1.png", "3.png"] if len(links) > 1 else ["1.png"])


def test_a_folder_that_cannot_be_listed(tmp_path):
    with pytest.raises(InputError) as error:
        image_files(tmp_path / "missing")
    assert is_sentence(error, tmp_path / "missing")


def test_pairs_are_sorted_by_file_name(tmp_path):
    label = {name: write(tmp_path / f"{name}_label.png", noise(0)) for name in "abc"}
    samples = [
        Sample(Path("x/c.png"), label["c"]),
        Sample(Path("y/a.png"), label["a"]),
        Sample(Path("z/b.png"), label["b"]),
    ]
    assert [sample.image.name for sample in check_pairs(samples, "train", tmp_path)] == ["a.png", "b.png", "c.png"]


def test_incomplete_pairs_are_reported(tmp_path):
    image, label = Path("images/a.png"), write(tmp_path / "a.png", noise(0))
    for samples, words in (
        ([], [tmp_path, "no images", "train"]),
        ([Sample(image, tmp_path / "b.png")], [image, tmp_path / "b.png", "add the label"]),
        (
            [Sample(image, tmp_path / "b.png"), Sample(Path("c.png"), tmp_path / "c.png")],
            [image, "and 1 more image has none"],
        ),
        ([Sample(image, label), Sample(Path("images/a.jpg"), label)], ["images/a.jpg", image, label, "rename"]),
    ):
        with pytest.raises(InputError) as error:
            check_pairs(samples, "train", tmp_path)
        assert is_sentence(error, *words)


@pytest.mark.parametrize(
    ("image", "name", "reason"),
    [
        *(
            ("a", name, "its name does not match")
            for name in ("a-mask.png", "a.jpg.png", "mask_a.png", "A_labelIds.png")
        ),
        ("a_image", "a_mask.png", "its name does not match"),
        ("a", "a_mask.jpg", "labels must be PNGs"),
    ],
)
def test_a_label_under_another_name_is_named(tmp_path, image, name, reason):
    image, label = Path(f"images/{image}.jpg"), tmp_path / f"{image}.png"
    for other in ("ab.png", "a_b.png", name):
        write(tmp_path / other, noise(0))
    samples = [Sample(image, label), Sample(Path("images/a_b.jpg"), tmp_path / "a_b.png")]
    with pytest.raises(InputError) as error:
        check_pairs(samples, "train", tmp_path)
    assert is_sentence(error, f"there is {tmp_path / name}, but {reason}")
    problems = []
    check_pairs([*samples, Sample(Path("images/c.jpg"), tmp_path / "c.png")], "train", tmp_path, problems)
    assert [name in problem.sentence for problem in problems] == [True, False]


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Train", "training", "train2017"]),
        ("val", ["val", "valid", "Validation", "val2017"]),
        ("test", ["TEST", "testing"]),
        (None, ["trainval", "drive1", "test_drive", "test0001", "trainId", ""]),
    ],
)
def test_names_of_splits(split, names):
    assert [split_of(name) for name in names] == [split] * len(names)


def test_splits():
    assert check_split("trainval") == ("train", "val") and check_split("test") == ("test",)
    for split in ("training", "", None, ["train"]):
        with pytest.raises(InputError) as error:
            check_split(split)
        assert is_sentence(error, split, "train, val, test, trainval")
