import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from layouts import files, is_sentence, noise

from regseg.data.datasets.camvid import SPEC as CAMVID
from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.cityscapes import Cityscapes
from regseg.data.io import read_image, read_label
from regseg.errors import InputError
from regseg.inference.sources import Item, find_images
from regseg.inference.writers import MODES, Outputs, cityscapes_ids, index_values, zip_labels
from regseg.training.metrics import ConfusionMatrix, Scores


def item(tmp_path, name="sub/ulm_000000_000019_leftImg8bit"):
    path = tmp_path / f"{name}.png"
    return Item(path, path.relative_to(tmp_path).with_suffix(""))


@pytest.fixture
def prediction():
    labels = np.random.default_rng(0).integers(0, 19, (40, 60), np.uint8)
    return noise(0, (40, 60)), labels


def test_every_mode_is_read_back(tmp_path, prediction):
    image, labels = prediction
    outputs = Outputs(tmp_path / "out", MODES, CITYSCAPES)
    one = item(tmp_path)
    outputs.write(one, image, labels)
    paths = outputs.paths(one)
    found = {mode: path.relative_to(tmp_path / "out").as_posix() for mode, path in paths.items()}
    assert found == {
        "overlay": "overlay/sub/ulm_000000_000019_leftImg8bit.jpg",
        "color": "color/sub/ulm_000000_000019_leftImg8bit.png",
        "index": "index/sub/ulm_000000_000019_leftImg8bit.png",
        "train_ids": "train_ids/sub/ulm_000000_000019_leftImg8bit.png",
        "cityscapes": "cityscapes/ulm_000000_000019_leftImg8bit.png",
    }
    assert (read_label(paths["index"], CITYSCAPES) == labels).all()
    assert (read_label(paths["cityscapes"], CITYSCAPES) == labels).all()
    assert (cv2.imread(str(paths["train_ids"]), cv2.IMREAD_UNCHANGED) == labels).all()
    by_color = replace(CITYSCAPES, ids={}, color_ids=tuple(zip(CITYSCAPES.colors, range(19), strict=True)))
    assert (read_label(paths["color"], by_color) == labels).all()
    picture = read_image(paths["overlay"])
    assert picture.shape[0] > 40 and picture.shape[1] == 300


def test_opacity_decides_overlays_alone(tmp_path):
    outputs = Outputs(tmp_path, ["overlay", "index"], CITYSCAPES, opacity=0.3)
    found = outputs.origins([item(tmp_path)], {"weights": "1"})
    assert [origin.settings for origin in found.values()] == [{"weights": "1", "opacity": 0.3}, {"weights": "1"}]
    assert {origin.source for origin in found.values()} == {str(item(tmp_path).path)}


def test_an_overlay_without_loss(tmp_path, prediction):
    outputs = Outputs(tmp_path, ["overlay"], CITYSCAPES, overlay_format="png", opacity=0.0)
    outputs.write(item(tmp_path), *prediction)
    assert (read_image(outputs.paths(item(tmp_path))["overlay"])[:40, :60] == prediction[0]).all()


def test_ids_of_a_dataset():
    assert index_values(CAMVID)[:11].tolist() == [1, 5, 0, 8, 6, 3, 9, 7, 2, 4, 10]
    assert index_values(replace(CAMVID, ids={3: 0, 7: 0, 9: 1}, classes=("a", "b"), colors=CAMVID.colors[:2]))[
        :2
    ].tolist() == [3, 9]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"save": ["index"], "spec": replace(CAMVID, ids={})}, ["camvid", "building", "train_ids"]),
        ({"save": ["cityscapes"], "spec": CAMVID}, ["tree", "classes of Cityscapes"]),
        ({"save": ["masks"]}, ["masks", "overlay", "cityscapes"]),
        ({"save": "overlay"}, ["save=[overlay,index]"]),
        ({"save": []}, ["save=[overlay,index]"]),
        ({"save": ["overlay"], "overlay_format": "gif"}, ["gif", "jpg"]),
    ],
)
def test_what_cannot_be_saved_is_reported(tmp_path, arguments, words):
    with pytest.raises(InputError) as error:
        Outputs(tmp_path, **{"spec": CITYSCAPES, **arguments})
    assert is_sentence(error, *words)


def test_the_server_takes_names_of_cityscapes_alone(tmp_path):
    outputs = Outputs(tmp_path, ["cityscapes"], CITYSCAPES)
    for name in ("photo", "ulm_1_19", "ulm_000000", "_000000_000019"):
        with pytest.raises(InputError) as error:
            outputs.paths(item(tmp_path, name))
        assert is_sentence(error, name, "leftImg8bit", "index")
    twice = [item(tmp_path, f"{folder}/ulm_000000_000019_leftImg8bit") for folder in "ab"]
    with pytest.raises(InputError) as error:
        outputs.origins(twice, {})
    assert is_sentence(error, twice[0].path, twice[1].path)
    assert len(Outputs(tmp_path, ["index"], CITYSCAPES).origins(twice, {})) == 2


def test_classes_of_cityscapes_in_another_order():
    spec = replace(CITYSCAPES, classes=("car", "road"), colors=CITYSCAPES.colors[:2], ids={}, excluded=())
    assert cityscapes_ids(spec)[:2].tolist() == [26, 7]


def test_our_evaluator_and_the_official_one_agree_on_written_predictions(streets_root, tmp_path, monkeypatch):
    """On synthetic streets with wrong pixels: the files, the official search by name, and the zip archive."""
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    items = find_images(streets_root / "leftImg8bit" / "val", tmp_path / "out")
    truth = {sample.image.name: sample.label for sample in Cityscapes(streets_root).samples("val")}
    outputs = Outputs(tmp_path / "out", ["cityscapes"], CITYSCAPES)
    rng, matrix = np.random.default_rng(0), ConfusionMatrix(19)
    everything = set(outputs.origins(items, {}))
    assert "3 of 3 results are missing" in zip_labels(outputs, items, everything)
    for one in items:
        label = read_label(truth[one.path.name], CITYSCAPES)
        wrong = cv2.resize(rng.integers(0, 19, (8, 16), np.uint8), label.shape[::-1], interpolation=cv2.INTER_NEAREST)
        predicted = np.where((label == 255) | (rng.random(label.shape) < 0.2), wrong, label).astype(np.uint8)
        outputs.write(one, read_image(one.path), predicted)
        matrix.update(torch.from_numpy(predicted), torch.from_numpy(label))
    ours = Scores.from_confusion(matrix.compute(), CITYSCAPES)
    assert "3 results" in zip_labels(outputs, items, set())
    with zipfile.ZipFile(tmp_path / "out" / "cityscapes.zip") as archive:
        assert sorted(archive.namelist()) == sorted(f"{one.path.stem}.png" for one in items)
        archive.extractall(tmp_path / "sent")
    assert "1 of 3 results are missing" in zip_labels(outputs, items, {next(iter(everything))})
    assert not (tmp_path / "out" / "cityscapes.zip").exists()

    arguments = official.args
    monkeypatch.setattr(arguments, "quiet", True)
    monkeypatch.setattr(arguments, "JSONOutput", False)
    monkeypatch.setattr(arguments, "evalInstLevelScore", False)
    monkeypatch.setattr(arguments, "predictionPath", str(tmp_path / "sent"))
    monkeypatch.setattr(arguments, "predictionWalk", None)
    labels = sorted(str(path) for path in truth.values())
    found = official.evaluateImgLists([official.getPrediction(arguments, path) for path in labels], labels, arguments)
    assert found["averageScoreClasses"] == pytest.approx(ours.miou, abs=1e-12) and 0.3 < ours.miou < 0.95
    for name, value in ours.iou.items():
        assert found["classScores"][name] == pytest.approx(value, nan_ok=True), name


def test_an_overlay_wider_than_a_jpeg_can_be(tmp_path, monkeypatch):
    """OpenCV returns no bytes for it; such a file would be empty."""
    monkeypatch.setattr("regseg.inference.writers.with_legend", lambda picture, *_: picture)
    image, labels = np.zeros((2, 65536, 3), np.uint8), np.zeros((2, 65536), np.uint8)
    outputs = Outputs(tmp_path, ["train_ids", "overlay"], CITYSCAPES)
    with pytest.raises(InputError) as error:
        outputs.write(item(tmp_path, "wide"), image, labels)
    assert is_sentence(error, "65536x2 pixels cannot be a jpg", "overlay_format=png")
    assert files(tmp_path) == ["train_ids/wide.png"]
    Outputs(tmp_path, ["overlay"], CITYSCAPES, overlay_format="png").write(item(tmp_path, "wide"), image, labels)
    assert read_image(tmp_path / "overlay" / "wide.png").shape == image.shape
