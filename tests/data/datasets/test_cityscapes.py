"""Cityscapes: the table of labels, and the folders."""

import shutil

import pytest
from layouts import is_sentence, write_cityscapes

from regseg.data.datasets.cityscapes import SPEC, Cityscapes
from regseg.data.io import read_sample
from regseg.errors import InputError


def test_the_table_is_the_published_one():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    evaluated = sorted((label for label in labels if label.trainId not in (-1, 255)), key=lambda label: label.trainId)
    assert SPEC.classes == tuple(label.name for label in evaluated)
    assert SPEC.colors == tuple(label.color for label in evaluated)
    assert len(SPEC.classes) == 19
    in_files = {label.id % 256: label.trainId for label in labels}  # a licence plate, -1, is 255 in 8 bits
    assert SPEC.ids == {value: 255 if index == -1 else index for value, index in in_files.items()}


def test_images_and_label_ids_are_found(tmp_path):
    dataset = Cityscapes(write_cityscapes(tmp_path))
    train = dataset.samples("train")
    names = [sample.image.name for sample in train]
    assert len(train) == 5 and names == sorted(names)
    assert [len(dataset.samples(split)) for split in ("val", "test", "trainval")] == [3, 1, 8]
    for image, label in dataset.samples("trainval"):
        assert (
            label.name == image.name.replace("leftImg8bit", "gtFine_labelIds")
            and label.parent.name == image.parent.name
        )
    image, label = read_sample(train[0], SPEC)
    assert image.shape == (24, 32, 3) and set(label.flat) == {*range(19), 255}


def test_polygons_colours_and_hidden_files_are_ignored(tmp_path):
    write_cityscapes(tmp_path)
    for name in ("gtFine_color.png", "gtFine_polygons.json", "gtFine_instanceIds.png"):
        (tmp_path / f"gtFine/train/town0/town0_000000_000019_{name}").touch()
    (tmp_path / "leftImg8bit/train/town0/._town0_000000_000019_leftImg8bit.png").touch()
    assert len(Cityscapes(tmp_path).samples("train")) == 5


def test_a_root_may_start_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_cityscapes(tmp_path / "cityscapes")
    assert len(Cityscapes("~/cityscapes").samples("train")) == 5


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (".", ["The folder", "leftImg8bit/<split>/<city>", "data.root"]),
        ("leftImg8bit", ["leftImg8bit/train", "data.root"]),
        ("leftImg8bit/train", ["leftImg8bit/train", "data.root"]),
        ("leftImg8bit/train/town0", ["no images", "leftImg8bit/train"]),
        ("gtFine", ["gtFine", "data.root"]),
        ("gtFine/train/town0", ["town0_000000_000019_leftImg8bit.png", "gtFine_labelIds.png is missing", "2 more"]),
    ],
)
def test_what_is_missing_is_named(tmp_path, gone, words):
    root = write_cityscapes(tmp_path / "cityscapes")
    shutil.rmtree(root / gone)
    if gone.startswith("leftImg8bit/train/"):
        shutil.rmtree(root / "leftImg8bit/train/town1")
    with pytest.raises(InputError) as error:
        Cityscapes(root).samples("train")
    assert is_sentence(error, root, *words)


def test_an_unknown_split(tmp_path):
    with pytest.raises(InputError) as error:
        Cityscapes(write_cityscapes(tmp_path)).samples("training")
    assert is_sentence(error, "training", "trainval")


@pytest.mark.parametrize("ending", ["color", "labelTrainIds"])
def test_another_kind_of_labels_is_named(root, tmp_path, ending):
    shutil.copytree(root, tmp_path / "cityscapes")
    for path in list((tmp_path / "cityscapes/gtFine").rglob("*_labelIds.png")):
        path.rename(path.with_name(path.name.replace("labelIds", ending)))
    with pytest.raises(InputError) as error:
        Cityscapes(tmp_path / "cityscapes").samples("train")
    assert is_sentence(error, "labelIds.png is missing", f"there is {tmp_path}", f"gtFine_{ending}.png, but")
