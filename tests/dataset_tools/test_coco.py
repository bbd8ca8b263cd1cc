"""`prepare what=import`: COCO annotations become label PNGs."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from annotated import run
from layouts import is_sentence, noise, write

from regseg.data.datasets.folder import Folder
from regseg.errors import InputError

coco = pytest.importorskip("pycocotools.mask")


def test_polygons_and_both_encodings(dataset):
    root, path, _ = dataset
    run(root, path)
    label = cv2.imread(str(root / "labels/drive/a.png"), cv2.IMREAD_UNCHANGED)
    expected = np.zeros((6, 8), np.uint8)
    expected[:4, :4] = 1  # the road
    expected[1:3, 1:3] = 2  # the car over it, which is smaller
    expected[:, 7] = 1
    expected[5, :3] = 1  # the crowd: the brush masks of CVAT are crowds too
    assert label.tolist() == expected.tolist()
    spec = Folder(root).spec
    assert spec.classes == ("background", "road: wet", "car") and spec.ids == {0: 0, 1: 1, 2: 2, 255: 255}
    assert not cv2.imread(str(root / "labels/b.png"), cv2.IMREAD_UNCHANGED).any()
    assert len(Folder(root, val_share=0).samples("train")) == 2


@pytest.mark.parametrize(
    "name",
    [
        "images/drive/a.png",
        "images\\drive/a.png",
        "../../media/upload/4/drive/a.png",
        "/data/drive/a.png",
        "images/drive/61148fa2-a.png",
        "a.png",  # in the only folder that has it, as COCO names the images of each split
        "upload/61148fa2-a.png",
    ],
)
def test_names_as_annotation_tools_write_them(dataset, name):
    root, path, content = dataset
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    run(root, path)
    assert (root / "labels/drive/a.png").exists() and (root / "labels/b.png").exists()


def test_an_image_outside_of_the_folder_is_not_found(dataset):
    root, path, content = dataset
    write(root / "x.png", noise(0, (6, 8)))
    content["images"][0]["file_name"] = "drive/../../x.png"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is missing"):
        run(root, path)


@pytest.mark.parametrize(
    ("name", "elsewhere"),
    [
        ("walk/a.png", None),  # a subfolder with other images, without this one
        ("drive/a.png", "train/a.png"),  # the same
        ("train2017/a.png", "val/a.png"),
        ("data/val/a.png", "train/a.png"),
        ("valid/drive/a.png", "train/drive/a.png"),
    ],
)
def test_an_image_of_the_same_name_in_another_folder_is_not_taken(dataset, name, elsewhere):
    root, path, content = dataset
    write(root / "images/walk/other.png", noise(0, (6, 8)))
    if elsewhere:
        (root / "images" / elsewhere).parent.mkdir(parents=True, exist_ok=True)
        (root / "images/drive/a.png").rename(root / "images" / elsewhere)
        write(root / "images/drive/other.png", noise(0, (6, 8)))
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        run(root, path)
    assert is_sentence(error, name, root / "images" / (elsewhere or "drive/a.png"), "another folder")
    assert not (root / "labels").exists()
    assert str(error.value).endswith("move it into the folder of its file_name, or remove the folders from file_name.")
    content["images"][0]["file_name"] = "a.png"
    path.write_text(json.dumps(content))
    run(root, path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train/a.png", "train/a.png"),
        ("set1/val2017/a.png", None),  # train/a.png or val/a.png: refused
        ("data/images/a.png", "a.png"),
        ("city/a.png", "val/city/a.png"),  # not images/a.png
    ],
)
def test_the_folder_decides_between_images_of_the_same_name(dataset, name, expected):
    root, path, content = dataset
    shutil.move(root / "images/drive/a.png", root / "images/a.png")
    for folder in ("train", "val/city"):
        write(root / "images" / folder / "a.png", noise(0, (6, 8)))
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    if expected is None:
        with pytest.raises(InputError) as error:
            run(root, path)
        assert is_sentence(error, "which may be", "images/a.png", "val/city/a.png")
    else:
        run(root, path)
        assert (root / "labels" / expected).exists()


@pytest.mark.parametrize("name", ["a.png", "val/a.png", "train/val/a.png"])
def test_an_image_in_a_split_folder_within_another(dataset, name):
    root, path, content = dataset
    (root / "images/train/val").mkdir(parents=True)
    shutil.move(root / "images/drive/a.png", root / "images/train/val/a.png")
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    run(root, path)
    assert (root / "labels/train/val/a.png").exists()


def test_the_folders_of_the_labels_are_listed(dataset, capsys):
    root, path, _ = dataset
    run(root, path)
    assert "2 labels (1 in labels/drive, 1 in labels) and" in capsys.readouterr().out


def test_nothing_is_overwritten(dataset):
    root, path, _ = dataset
    write(root / "labels/b.png", np.full((4, 4), 3, np.uint8))
    with pytest.raises(InputError) as error:
        run(root, path)
    assert is_sentence(error, root / "labels/b.png") and not (root / "labels/drive").exists()


def test_a_named_pipe_is_not_read(dataset):
    root, path, _ = dataset
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError) as error:
        run(root, path)
    assert is_sentence(error, path, "not a file")


def test_an_image_that_may_be_one_of_two_is_refused(dataset):
    root, path, content = dataset
    write(root / "images/walk/a.png", noise(0, (6, 8)))
    content["images"][0]["file_name"] = "a.png"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        run(root, path)
    assert is_sentence(error, "images/drive/a.png", "images/walk/a.png", "folder")


def test_the_annotations_of_a_second_split(dataset):
    """Its classes are those of the first, whatever numbers its categories have."""
    root, path, _ = dataset
    run(root, path)
    classes = (root / "classes.yaml").read_text()
    write(root / "images/val/c.png", noise(2, (4, 4)))
    square = [{"image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}]
    second = {
        "images": [{"id": 1, "file_name": "c.png", "height": 4, "width": 4}],
        "annotations": square,
        "categories": [{"id": 1, "name": "car"}, {"id": 7, "name": "unused"}],
    }
    path.write_text(json.dumps(second))
    run(root, path)
    label = cv2.imread(str(root / "labels/val/c.png"), cv2.IMREAD_UNCHANGED)
    assert label.tolist() == [[2, 2, 0, 0], [2, 2, 0, 0], [0] * 4, [0] * 4]
    assert (root / "classes.yaml").read_text() == classes
    (root / "labels/val/c.png").unlink()
    for text, word in (
        (classes.replace("name: car", "name: lorry"), "no class car"),
        (classes.replace("name: background", "name: ground"), "0 is not the id of the class background"),
    ):
        (root / "classes.yaml").write_text(text)
        with pytest.raises(InputError) as error:
            run(root, path)
        assert is_sentence(error, root / "classes.yaml", word) and not (root / "labels/val/c.png").exists()
    (root / "classes.yaml").write_text("classes: [{name: car, id: 9}]\nignore: [0]\n")
    run(root, path)
    assert cv2.imread(str(root / "labels/val/c.png"), cv2.IMREAD_UNCHANGED)[0].tolist() == [9, 9, 0, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["images"][1].update(id=5), ["the image id 5", "twice"]),
        (lambda c: c["categories"][1].update(id=30), ["the category id 30", "twice"]),
        (
            lambda c: [entry.update(image_id=str(entry["image_id"])) for entry in c["annotations"]],
            ["annotations of no image: 4 of 4", "image_id 5"],
        ),
        (lambda c: c.pop("categories"), ["not a COCO annotation file"]),
        (lambda c: c["images"][0].update(file_name="../../x.png"), ["../../x.png, which is missing", "same file name"]),
        (lambda c: c["images"][0].update(file_name="c.png"), ["c.png, which is missing"]),
        (lambda c: c["images"][0].update(file_name="c" * 9000), ["cc…, which is missing"]),
        (lambda c: c["categories"][0].update(name="road\x1b[2J"), ["road\\x1b[2J", "cannot be printed"]),
        (lambda c: c["images"][0].update(file_name="b.png"), ["two images", "b.png"]),
        (lambda c: c["annotations"][0].update(category_id=99), ["drive/a.png", "damaged"]),
        (lambda c: c["annotations"][2]["segmentation"].update(size=[3, 3]), ["drive/a.png"]),
        (lambda c: c["annotations"][1].update(segmentation=[]), ["without a segmentation: 1 of 4", "drive/a.png"]),
        (
            lambda c: [(one.pop("segmentation"), one.update(bbox=[0, 0, 2, 2])) for one in c["annotations"]],
            ["annotations without a segmentation: 4 of 4", "boxes label no pixels", "export the masks"],
        ),
        (lambda c: c["annotations"][0].update(segmentation=None, image_id=99), ["the first is of image_id 99"]),
        (
            lambda c: (c["annotations"][0].update(segmentation=None), c["images"][0].update(file_name="c" * 9000)),
            ["the first is of cc", "cc…"],
        ),
        (lambda c: c["images"][0].update(id=[1]), ["not a COCO annotation file"]),
        (lambda c: c["images"][0].update(height=10**9, width=10**9), ["1000000000x1000000000", "the image has 8x6"]),
        (lambda c: c["images"][0].update(height=float("inf")), ["not a COCO annotation file"]),
        (lambda c: c["annotations"][0].update(image_id=[5]), ["not a COCO annotation file"]),
        (lambda c: c["categories"][0].update(name="road: wet"), ["road: wet", "given twice"]),
        (lambda c: c["annotations"][1].update(segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]]), ["the polygon [0, 0"]),
        (lambda c: c["annotations"][1].update(segmentation=[[0, 0, float("nan"), 0, 1, 1]]), ["the polygon [0, 0"]),
        (lambda c: c["annotations"][1].update(segmentation=[[0, 0, 4, 4]]), ["the polygon [0, 0"]),  # not a box
        (lambda c: c["annotations"][2]["segmentation"].update(counts=[40, 6]), ["with 46 pixels"]),
        (lambda c: c["annotations"][2]["segmentation"].update(counts=[50, -8, 6]), ["with 48 pixels"]),
        (lambda c: c["annotations"][0]["segmentation"].update(counts="9"), ["with 9 pixels"]),
        (lambda c: c["annotations"][0]["segmentation"].update(counts=100 * "o"), ["larger than any image"]),
        (lambda c: c["annotations"][0]["segmentation"].update(size=[10**6, 10**6]), ["1000000"]),
    ],
)
def test_damaged_annotations_are_one_sentence(dataset, change, words):
    root, path, content = dataset
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        run(root, path)
    assert is_sentence(error, *words)
    assert "segmentation" not in str(error.value) or not (root / "labels").exists()
