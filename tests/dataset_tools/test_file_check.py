"""What is found in the image and the label of one pair."""

import numpy as np
import pytest
from checked import check_mine, found, jpeg, only
from layouts import indices, noise, write
from PIL import Image

from regseg.dataset_tools import file_check


def palette_label(path, colors):
    image = Image.fromarray(indices(0, [0, 1]), "L").convert("P")
    image.putpalette([channel for color in colors for channel in color])
    image.save(path)
    assert path.read_bytes()[25] == 3


@pytest.mark.parametrize(("orientation", "words"), [(3, "180 degrees"), (2, "mirrored")])
def test_a_rotation_that_sizes_do_not_show_is_a_notice(mine, tmp_path, capsys, orientation, words):
    (mine / "images/train/0.png").unlink()
    jpeg(mine / "images/train/0.jpg", noise(0), orientation)
    assert only(mine, "rotated image", "0.jpg", "labels/train/0.png", words, notice=True)
    check_mine(mine, tmp_path / "out")  # which is no reason to fail
    assert "1 x rotated image (notice)" in (out := capsys.readouterr().out) and "No problems in 6 pairs" in out
    assert (tmp_path / "out/problems.txt").read_text().startswith("notice: rotated image: ")


def test_sizes_that_a_rotation_swaps_name_the_rotation(mine):
    (mine / "images/train/0.png").unlink()
    jpeg(mine / "images/train/0.jpg", noise(0), 6)
    assert only(mine, "sizes differ", "24x32", "32x24", "rotated by 90 degrees according to EXIF", "export the label")


def test_an_upright_image_with_exif_is_sound(mine):
    (mine / "images/train/0.png").unlink()
    jpeg(mine / "images/train/0.jpg", noise(0), 1)
    assert found(mine) == []


def test_palette_colours_that_contradict_the_classes(mine):
    path = mine / "labels/train/0.png"
    palette_label(path, [(10, 20, 30), (40, 50, 60)])
    assert found(mine) == []
    palette_label(path, [(0, 0, 0), (99, 99, 99)])  # of no class
    assert found(mine) == []
    palette_label(path, [(7, 7, 7), (10, 20, 30)])
    assert only(mine, "palette contradicts classes", path, "value 1 (wall)", "[10, 20, 30] of ground")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_jpeg_masks(mine, suffix):
    (mine / "labels/train/0.png").unlink()
    jpeg(mine / f"labels/train/0{suffix}", np.zeros((24, 32), np.uint8))
    kind, word = ("unusable label", "JPEG") if suffix == ".png" else ("no label", "0.jpg, but labels must be PNGs")
    assert only(mine, kind, "0.png", word)


def test_a_jpeg_that_decodes_with_errors(mine, capfd):
    (mine / "images/train/0.png").unlink()
    path = mine / "images/train/0.jpg"
    jpeg(path, noise(0))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")  # the decoder fills the rest
    assert only(mine, "unreadable image", path, "damaged JPEG")
    path.write_bytes(data[: len(data) // 2])
    assert only(mine, "unreadable image", path)
    assert capfd.readouterr().err == ""


def test_whatever_a_decoder_raises_the_other_files_are_checked(mine, monkeypatch):
    read = file_check.read_image

    def fail(path):
        if path.parts[-2:] == ("train", "1.png"):
            raise RuntimeError("a decoder's own\nerror.")
        return read(path)

    monkeypatch.setattr(file_check, "read_image", fail)
    write(mine / "labels/val/1.png", np.full((24, 32), 77, np.uint8))
    assert sorted(problem.kind for problem in found(mine)) == ["unreadable image", "unusable label"]
