"""`prepare what=classes`: a first classes.yaml from labels as people export them."""

import os
import time

import cv2
import numpy as np
import pytest
import yaml
from layouts import indices, is_sentence, noise, write
from PIL import Image

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.classes_file import read_classes
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.data.io import read_label
from regseg.dataset_tools import classes as tool
from regseg.dataset_tools.classes import _voc_color, classes
from regseg.errors import InputError


def data(root):
    return SegmentationDataModule("folder", root, crop_size=(8, 8), short_side=(8, 8))


def written(root):
    """The spec of the classes.yaml that is written, and its text."""
    classes(data(root), root)
    return read_classes(root / "classes.yaml"), (root / "classes.yaml").read_text()


@pytest.mark.parametrize("folder", ["labels/train", "train/labels"])
def test_index_labels_are_numbered_with_their_shares(tmp_path, capsys, folder):
    label = np.full((10, 10), 7, np.uint8)
    label[:4], label[0] = 2, 255
    write(tmp_path / folder / "a.png", label)
    spec, text = written(tmp_path)
    assert spec.classes == ("class_0", "class_1") and spec.ids == {2: 0, 7: 1, 255: IGNORE_INDEX}
    assert "30.00 % of all pixels" in text and "60.00 % of all pixels" in text
    assert "3 values in 1 label; edit" in capsys.readouterr().out


def test_a_voc_palette_gives_its_names(tmp_path):
    image = Image.fromarray(np.array([[0, 7, 15], [0, 255, 15]], np.uint8), "P")
    image.putpalette([part for index in range(256) for part in _voc_color(index)])
    (tmp_path / "labels").mkdir()
    image.save(tmp_path / "labels/a.png")
    spec, _ = written(tmp_path)
    assert spec.classes == ("background", "car", "person") and spec.ids[255] == IGNORE_INDEX
    assert spec.colors == ((0, 0, 0), (128, 128, 128), (192, 128, 128))
    assert read_label(tmp_path / "labels/a.png", spec).tolist() == [[0, 1, 2], [0, 255, 2]]


@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_cityscapes_give_its_names(tmp_path, alpha):
    pixels = np.array([[(128, 64, 128), (0, 0, 142)], [(244, 35, 232), (1, 2, 3)]], np.uint8)
    write(tmp_path / "labels/a.png", np.dstack([pixels, np.full((2, 2), 255, np.uint8)]) if alpha else pixels)
    spec, _ = written(tmp_path)
    assert set(spec.classes) == {"car", "class_1", "road", "sidewalk"} and len(spec.color_ids) == 4
    assert spec.classes[spec.ids.get(0, 2)] and dict(spec.color_ids)[(0, 0, 142)] == spec.classes.index("car")


def test_an_export_of_cvat(tmp_path):
    """Its `Segmentation mask` format: colour PNGs and labelmap.txt."""
    text = (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nlane, left:61,61,245::\nlane:250,50,83::\nrail:1,2,3::\n"
    )
    (tmp_path / "labelmap.txt").write_text(text)
    write(tmp_path / "labels/a.png", np.array([[(0, 0, 0), (61, 61, 245)], [(250, 50, 83)] * 2], np.uint8))
    spec, text = written(tmp_path)
    assert spec.classes == ("background", "lane, left", "lane")
    assert "# In labelmap.txt, but in no label: rail [1, 2, 3]\n" in text


def test_255_is_a_class_in_binary_masks(tmp_path):
    write(tmp_path / "labels/a.png", np.array([[0, 255]], np.uint8))
    spec, _ = written(tmp_path)
    assert spec.classes == ("background", "object") and spec.ids == {0: 0, 255: 1}
    assert read_label(tmp_path / "labels/a.png", spec).tolist() == [[0, 1]]


def test_black_and_white_in_colour_are_a_binary_mask(tmp_path):
    write(tmp_path / "labels/a.png", np.repeat(np.array([[[0], [255]]], np.uint8), 3, 2))
    spec, _ = written(tmp_path)
    assert spec.classes == ("background", "object") and read_label(tmp_path / "labels/a.png", spec).tolist() == [[0, 1]]


@pytest.mark.parametrize("colors", [False, True])
def test_16_bits_are_read_as_training_reads_them(tmp_path, colors):
    label = np.array([[0, 3], [200, 3]], np.uint16)
    write(tmp_path / "labels/a.png", np.dstack([label * 257] * 2 + [label * 0]) if colors else label)
    spec, _ = written(tmp_path)
    assert len(spec.color_ids if colors else spec.classes) == 3
    assert read_label(tmp_path / "labels/a.png", spec).tolist() == [[0, 1], [2, 1]]
    (tmp_path / "classes.yaml").unlink()
    write(tmp_path / "labels/b.png", np.dstack([label + 256] * 3) if colors else label + 256)
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, "b.png", "beyond 8 bits", "export it with 8 bits", *([] if colors else ["the value 456"]))


def test_files_that_are_not_read_as_labels_do_not_count(tmp_path):
    write(tmp_path / "labels/a.tif", indices(0, [0, 1]))
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, tmp_path / "labels/a.tif", "must be PNGs") and not (tmp_path / "classes.yaml").exists()
    write(tmp_path / "labels/a.png", indices(0, [2, 3]))
    assert set(written(tmp_path)[0].ids) == {2, 3, 255}


@pytest.mark.parametrize("colors", [False, True])
def test_values_at_smoothed_edges_are_pointed_out(tmp_path, capsys, colors):
    mask = np.zeros((40, 40), np.uint8)
    mask[5:30, 5:30] = 255
    smooth = cv2.blur(mask, (3, 3))
    write(tmp_path / "labels/a.png", np.dstack([smooth, smooth * 0, smooth]) if colors else smooth)
    text = written(tmp_path)[1]
    number = len(set(smooth.ravel().tolist())) - 2
    printed = capsys.readouterr().out
    assert f"{number} values never fill a 2x2 square" in printed and "without smoothing" in printed
    assert text.count("never fills a 2x2 square") == number > 3
    (tmp_path / "classes.yaml").unlink()
    write(tmp_path / "labels/a.png", np.dstack([mask, mask * 0, mask]) if colors else mask)
    assert "2x2" not in written(tmp_path)[1] + capsys.readouterr().out


def test_255_of_a_palette_is_ignored_if_it_is_the_border_of_voc(tmp_path):
    image = Image.fromarray(np.array([[0, 255]], np.uint8), "P")
    image.putpalette([part for index in range(256) for part in _voc_color(index)])
    (tmp_path / "labels").mkdir()
    image.save(tmp_path / "labels/a.png")
    spec, _ = written(tmp_path)
    assert spec.num_classes == 1 and spec.ids[255] == IGNORE_INDEX


def test_masks_of_single_classes_are_refused(tmp_path):
    write(tmp_path / "labels/task-3-annotation-9-by-1-tag-road-0.png", np.array([[0, 255]], np.uint8))
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, "task-3", "COCO", "what=import") and not (tmp_path / "classes.yaml").exists()


def test_strange_names_stay_yaml(tmp_path):
    (tmp_path / "labelmap.txt").write_text(
        "no: [x] #1:1,1,1::\nStraße:2,2,2::\nno:3,3,3::\nno:4,4,4::\n", encoding="utf-8"
    )
    write(tmp_path / "labels/a.png", np.array([[(2, 2, 2), (3, 3, 3), (4, 4, 4)]], np.uint8))
    spec, text = written(tmp_path)
    assert spec.classes == ("Straße", "no", "no_2") and yaml.safe_load(text)["classes"][1]["name"] == "no"


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("labels/a.jpg", "labels must be PNGs); export them as PNGs"),
        ("annotations.json", "use what=import source={root}/annotations.json"),
        ("a_mask.png", "move {root}/a_mask.png and the other labels to {root}/labels"),
        ("SegmentationClass/a.png", "rename {root}/SegmentationClass to labels"),
        ("a.png", "put them there, or set data.root"),
    ],
)
def test_labels_in_other_places_and_formats_are_named(tmp_path, file, remedy):
    write(tmp_path / file, indices(0, [0, 1])) if not file.endswith("json") else (tmp_path / file).write_text("{}")
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, f"{tmp_path} has no label PNGs in labels", remedy.format(root=tmp_path))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError) as error:
        classes(data(tmp_path / "nowhere"), tmp_path)
    assert is_sentence(error, f"The folder {tmp_path / 'nowhere'} is missing")


def test_what_cannot_be_class_maps(tmp_path):
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, f"{tmp_path} has no label PNGs in labels")
    write(tmp_path / "labels/a.png", noise(0))
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, tmp_path / "labels/a.png", "768 different colours", "smoothing")
    write(tmp_path / "labels/a.png", np.zeros((2, 2, 3), np.uint8))
    write(tmp_path / "labels/b.png", indices(0, [0, 1]))
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, "a.png", "b.png", "indices", "colours")
    (tmp_path / "labels/a.png").unlink()
    classes(data(tmp_path), tmp_path)
    with pytest.raises(InputError) as error:  # a person's edits are not lost
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, tmp_path / "classes.yaml", "exists")


def test_too_many_colours_of_many_labels_stop_the_reading(tmp_path, monkeypatch):
    """Each file is like a class map. Their counts are added one by one, not kept for all files."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    read = []
    monkeypatch.setattr(tool, "read_bytes", lambda path: read.append(path) or time.sleep(0.01) or path.read_bytes())
    for number in range(99):
        label = np.zeros((1, 20, 3), np.uint8)
        label[0, :, 0], label[0, :, 1] = number, np.arange(20)
        write(tmp_path / f"labels/{number:02d}.png", label)
    with pytest.raises(InputError) as error:
        classes(data(tmp_path), tmp_path)
    assert is_sentence(error, "labels/12.png", "260 different colours") and len(read) < 50


def test_repeated_colours_of_a_palette_are_omitted(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([0, 0, 0, 9, 9, 9, 0, 0, 0])
    (tmp_path / "labels").mkdir()
    image.save(tmp_path / "labels/a.png")
    spec, text = written(tmp_path)
    assert spec.ids == {0: 0, 1: 1, 2: 2, 255: 255} and text.count("[0, 0, 0]") == 1


def test_a_labelmap_that_is_a_named_pipe_is_not_read(tmp_path):
    write(tmp_path / "labels/a.png", noise(0, (4, 4)))
    os.mkfifo(tmp_path / "labelmap.txt")
    with pytest.raises(InputError) as error:
        written(tmp_path)
    assert is_sentence(error, "labelmap.txt", "named pipe")
