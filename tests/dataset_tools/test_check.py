"""What `prepare what=check` finds beyond missing files and sizes, even if a decoder raises any exception."""

import io
import os
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from checked import check_mine, found, only
from layouts import indices, is_sentence, noise, write, write_folder
from PIL import Image

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.folder import Folder
from regseg.dataset_tools.check import check, find_problems, labels_without_image
from regseg.dataset_tools.class_statistics import report
from regseg.dataset_tools.preview import show
from regseg.errors import InputError


def test_a_sound_dataset_has_no_problem(mine, tmp_path, capsys):
    check_mine(mine, tmp_path / "out")
    assert "No problems in 6 pairs" in capsys.readouterr().out and not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/problems.txt").write_text("of an earlier check")
    check_mine(mine, tmp_path / "out")
    assert not (tmp_path / "out/problems.txt").exists()


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_image_that_is_linked_into_another_split(mine, link):
    (mine / "images/val/1.png").unlink()
    link(mine / "images/train/3.png", mine / "images/val/1.png")
    assert only(mine, "image in several splits", "images/val/1.png", "images/train/3.png", "train", "val")


def test_an_image_that_is_linked_twice_within_a_split(mine):
    os.symlink(mine / "images/train/3.png", mine / "images/train/4.png")
    os.symlink(mine / "labels/train/3.png", mine / "labels/train/4.png")
    assert only(mine, "image twice", "4.png", "3.png", "train")


# --- labels -----------------------------------------------------------------------------------------------------------


def test_splits_without_a_labelled_pixel(mine, capsys, tmp_path):
    for split in ("train", "test"):
        for number in range(4):
            write(mine / f"images/{split}/{number}.png", noise(number + 9))
            write(mine / f"labels/{split}/{number}.png", np.full((24, 32), 255, np.uint8))
    kinds = {(problem.kind, problem.notice) for problem in found(mine)}
    assert kinds == {("nothing labelled", False), ("nothing labelled", True)}
    with pytest.raises(InputError) as error:
        check_mine(mine, tmp_path / "out")
    assert is_sentence(error, "1 problem (1 x nothing labelled)")
    assert "the split train is ignored" in capsys.readouterr().out


def test_classes_without_pixels_are_notices(mine, tmp_path, capsys):
    for number in range(2):
        path = mine / f"labels/val/{number}.png"
        write(path, np.zeros((24, 32), np.uint8))
    assert only(mine, "class without pixels", "split val", "wall", "cannot be measured", notice=True)
    check_mine(mine, tmp_path / "out")
    assert "1 notice is listed in" in capsys.readouterr().out


def test_a_binary_mask_whose_classes_have_the_ids_0_and_1(mine):
    for path in (mine / "labels").rglob("*.png"):
        write(path, indices(0, [0, 255]))
    problems = [problem for problem in found(mine) if problem.kind == "class without pixels"]
    assert len(problems) == 2 and all("255 is ignored unless it is the id" in each.sentence for each in problems)


def test_a_split_that_is_not_used_may_be_missing(mine, tmp_path, capsys):
    for kind in ("images", "labels"):
        shutil.rmtree(mine / kind / "val")
    with pytest.raises(InputError):
        check_mine(mine, tmp_path / "out")
    assert "val is missing" in (tmp_path / "out/problems.txt").read_text()
    check(SegmentationDataModule("folder", mine, crop_size=(8, 8), short_side=(8, 8), val_split="train"), tmp_path)
    printed = capsys.readouterr().out
    assert "There is no val split; training does not need one." in printed and "No problems in 4 pairs" in printed


@pytest.mark.parametrize(
    ("folder", "words"), [("images/Test", ["named like a split", "images/test"]), ("images/test", ["labels/test"])]
)
def test_a_split_that_is_there_but_not_read_is_a_notice(mine, tmp_path, capsys, folder, words):
    write(mine / folder / "0.png", noise(0))
    assert only(mine, "no split test", folder.split("/")[1], *words, notice=True)
    check_mine(mine, tmp_path / "out")
    assert "There is no test split" not in (printed := capsys.readouterr().out)
    assert all(word in printed for word in words)


@pytest.mark.parametrize("action", [show, report])
def test_a_few_images_suffice_for_a_preview_and_for_statistics(mine, tmp_path, action):
    for kind in ("images", "labels"):
        for number in (1, 2, 3):
            (mine / kind / f"train/{number}.png").unlink()
    action(SegmentationDataModule("folder", mine, batch_size=8, crop_size=(8, 8), short_side=(8, 8)), tmp_path)
    assert list(tmp_path.glob("*.png"))


def test_an_image_in_a_format_that_is_not_read(mine):
    (mine / "images/train/3.png").rename(mine / "images/train/3.heic")
    assert only(mine, "label without image", "labels/train/3.png", "3.heic", "JPEG")


def test_a_custom_class_as_in_the_documentation(mine):
    """It gives tuples, and its ``samples`` does not take ``problems``."""

    class Custom:
        spec = Folder(mine).spec

        def samples(self, split):
            return [tuple(sample) for sample in Folder(mine).samples(split)]

    problems, counts = find_problems(Custom(), Custom.spec, mine, ("train", "val"))
    assert not problems and counts == {"train": 4, "val": 2}


def test_problems_of_a_custom_class(mine):
    """It lists what it finds, without looking at the files."""

    class Lanes:
        spec = Folder(mine).spec

        def samples(self, split):
            return [(path, mine / "masks" / path.name) for path in sorted((mine / "images" / split).iterdir())]

    for path in (mine / "images/val").iterdir():
        path.unlink()
    (mine / "images/test").mkdir()
    os.mkfifo(mine / "images/train/pipe.png")
    problems, counts = find_problems(Lanes(), Lanes.spec, mine, ("train", "val"))
    kinds = Counter(problem.kind for problem in problems)
    assert kinds == {"no split val": 1, "no split test": 1, "unusable label": 5, "unreadable image": 1}
    assert counts == {"train": 5}
    assert any("Lanes.samples('val') lists no images" in problem.sentence for problem in problems)


def test_many_labels_without_an_image_take_linear_time(mine, monkeypatch):
    for number in range(300):
        (mine / f"labels/train/alone{number}.png").touch()
    (mine / "images/train/alone7.heic").touch()
    listed = []
    iterdir = type(mine).iterdir
    monkeypatch.setattr(type(mine), "iterdir", lambda path: listed.append(path) or iterdir(path))
    monkeypatch.setattr(type(mine), "glob", lambda *args: pytest.fail("searched for each label"))
    found = list(labels_without_image(Folder(mine).samples("train")))
    assert len(found) == 300 and sum("alone7.heic" in problem.sentence for problem in found) == 1
    assert len(listed) == 2


# --- decoders ---------------------------------------------------------------------------------------------------------


def test_no_problem_of_a_file_is_left_out_by_damage(mine):
    """A file of every kind of damage at once."""
    huge = io.BytesIO()
    Image.fromarray(noise(0)).save(huge, "PNG")
    changed = bytearray(huge.getvalue())
    changed[16:20] = b"\x00\x0f\xff\xff"
    (mine / "images/train/0.png").write_bytes(changed)
    (mine / "labels/train/1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(17) + b"\x03" + bytes(9))
    (mine / "images/train/2.png").unlink()
    os.mkfifo(mine / "images/train/2.png")
    kinds = sorted(problem.kind for problem in found(mine))
    assert kinds == ["label without image", "not a file", "unreadable image", "unusable label"]


def test_names_that_no_encoding_has(mine, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        write(mine / "images/train" / name, noise(8))
    except OSError:
        pytest.skip("this file system refuses such names")
    with pytest.raises(InputError):
        check_mine(mine, tmp_path / "out")
    assert b"images/train/caf\xe9.png has no label" in (tmp_path / "out/problems.txt").read_bytes()


def test_the_contact_sheet_of_tiny_images(tmp_path):
    root = write_folder(tmp_path / "mine", ())
    for split in ("train", "val"):
        for number, size in enumerate([(1, 1), (3, 500), (500, 3)]):
            write(root / f"images/{split}/{number}.png", noise(number, size))
            write(root / f"labels/{split}/{number}.png", np.zeros(size, np.uint8))
    assert {problem.kind for problem in found(root)} <= {"class without pixels"}
    out = tmp_path / os.fsdecode(b"out\xe9")
    show(SegmentationDataModule("folder", root, batch_size=1, crop_size=(16, 20), short_side=(1, 40)), out)
    assert cv2.imdecode(np.fromfile(out / "crops.png", np.uint8), cv2.IMREAD_COLOR).shape[1] > 1000


def test_a_flat_dataset_has_no_problem(tmp_path):
    """Both splits share one folder of labels."""
    root = write_folder(tmp_path / "mine", (("train", 12),))
    for kind in ("images", "labels"):
        for path in (root / kind / "train").iterdir():
            path.rename(root / kind / path.name)
        (root / kind / "train").rmdir()
    problems, counts = find_problems(Folder(root), Folder(root).spec, root, ("train", "val"))
    assert not problems and sum(counts.values()) == 12
    write(root / "labels" / "alone.png", np.zeros((4, 4), np.uint8))
    (problem,) = found(root)
    assert "alone.png" in problem.sentence
