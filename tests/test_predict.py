"""`python -m regseg.predict` as its users run it."""

import errno
import json
import os
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from commands import ended
from layouts import files, noise, write
from untrained import write_checkpoint

import regseg
from regseg.data.datasets.camvid import SPEC as CAMVID
from regseg.data.datasets.cityscapes import SPEC as CITYSCAPES
from regseg.data.datasets.cityscapes import Cityscapes
from regseg.data.io import read_image, read_label
from regseg.errors import InputError
from regseg.training.metrics import ConfusionMatrix, Scores

PREDICT = "regseg.predict"


def test_a_folder(predict_as_user, photos, tmp_path):
    result = predict_as_user("source=photos", "out=found", "save=[overlay,index,color,train_ids]")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "net.ckpt: 19 classes of cityscapes" in result.stdout
    assert re.search(r"3 images in \d+ s \([\d.]+ images/s\) into found/overlay, found/index", result.stdout)
    names = ["a", "b", "trip/c"]
    expected = [f"{mode}/{name}.{suffix}" for mode, suffix in (("overlay", "jpg"), ("index", "png"), ("color", "png"),
                ("train_ids", "png")) for name in names]  # fmt: skip
    assert files(tmp_path / "found") == sorted([".lock", "predictions.json", *expected])
    labels = cv2.imread(str(tmp_path / "found/train_ids/trip/c.png"), cv2.IMREAD_UNCHANGED)
    assert (read_label(tmp_path / "found/index/trip/c.png", CITYSCAPES) == labels).all()


def test_files_hold_what_the_predictor_gives(predict, photos, tiny_weights, tmp_path):
    assert predict("source=photos/*.png", "save=[train_ids]").returncode == 0
    predictor = regseg.Predictor(tiny_weights, runtime="torch", precision="f32")
    assert files(tmp_path / "predictions" / "train_ids") == ["b.png"]
    found = cv2.imread(str(tmp_path / "predictions/train_ids/b.png"), cv2.IMREAD_UNCHANGED)
    assert (found == predictor(read_image(photos / "b.png"))).all() and len(np.unique(found)) > 1


def test_a_second_start_skips_what_exists(predict, photos, tmp_path):
    assert predict("source=photos").returncode == 0
    outputs = sorted((tmp_path / "predictions" / "overlay").rglob("*.jpg"))
    outputs[0].unlink()
    outputs[1].write_bytes(b"kept")
    result = predict("source=photos")
    assert "Skipping 2 of 3 images: already predicted." in result.out and "1 image in" in result.out
    assert outputs[0].exists() and outputs[1].read_bytes() == b"kept"
    left = outputs[0].with_name(".a.jpg.4711")  # by a killed command
    left.touch()
    assert "images/s" not in predict("source=photos").out
    assert not left.exists()
    assert predict("source=photos", "overwrite=true").returncode == 0 and outputs[1].read_bytes() != b"kept"


def test_other_weights_do_not_pass_for_these(predict, photos, tmp_path):
    assert predict("source=photos").returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "predictions").rglob("*.jpg")}
    other = write_checkpoint(tmp_path / "other.ckpt", seed=1)
    assert ended(predict("source=photos", weights=other), 2, "other weights", "overwrite=true")
    assert ended(predict("source=photos", "opacity=0.9"), 2, "opacity=0.5")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert predict("source=photos", "overwrite=true", weights=other).returncode == 0
    assert all(path.read_bytes() != content for path, content in before.items())


def test_broken_files_are_named_and_skipped(predict, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"no image")
    write(photos / "tiny.png", noise(0, (40, 20)))
    result = predict("source=photos")
    assert ended(result, 1, "2 of 5 images could not be predicted")
    assert all(name in result.err for name in ("photos/broken.png", "photos/tiny.png", "40 pixels high"))
    assert files(tmp_path / "predictions" / "overlay") == ["a.jpg", "b.jpg", "trip/c.jpg"]
    write(photos / "broken.png", noise(0, (40, 56)))
    again = predict("source=photos")
    assert ended(again, 1, "1 of 2 images") and "Skipping 3 of 5" in again.out


def test_any_image_is_read_as_the_loader_reads_it(predict, photos, tiny_weights, tmp_path):
    """Modes, depths and rotated photographs; the outputs are upright."""
    from PIL import Image

    image = noise(0, (40, 56))
    for suffix, content in (("gray", image[..., 0]), ("deep", image.astype(np.uint16)[..., 0] * 257)):
        write(tmp_path / "modes" / f"{suffix}.png", content)
    Image.fromarray(image).convert("P").save(tmp_path / "modes" / "palette.png")
    write(tmp_path / "modes" / "alpha.png", np.dstack([image, image[..., :1]]))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "modes" / "turned.jpg", exif=exif)
    assert predict("source=modes", "save=[train_ids,overlay]").returncode == 0
    predictor = regseg.Predictor(tiny_weights, runtime="torch", precision="f32")
    for path in (tmp_path / "modes").iterdir():
        found = cv2.imread(str(tmp_path / "predictions" / "train_ids" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        assert (found == predictor(read_image(path))).all() and (found.shape == (56, 40)) == (path.stem == "turned")


def test_paths_as_people_type_them(predict, tmp_path):
    write(tmp_path / "Bilder (1)" / "zwei=drei & größer.png", noise(0, (40, 56)))
    result = predict("source=Bilder (1)/zwei=drei & größer.png", "out=Läufe, alle", "save=[index]")
    assert result.returncode == 0, result.err
    assert files(tmp_path / "Läufe, alle" / "index") == ["zwei=drei & größer.png"]


def test_the_short_side(predict, tmp_path, tiny_weights):
    write(tmp_path / "big.png", noise(0, (80, 120)))
    assert predict("source=big.png", "save=[train_ids]", "short_side=40").returncode == 0
    found = cv2.imread(str(tmp_path / "predictions/train_ids/big.png"), cv2.IMREAD_UNCHANGED)
    predictor = regseg.Predictor(tiny_weights, runtime="torch", precision="f32", short_side=40)
    assert (found == predictor(read_image(tmp_path / "big.png"))).all()
    assert ended(predict("source=big.png", "save=[train_ids]"), 2, "short_side=40", "overwrite=true")
    assert ended(predict("source=big.png", "short_side=40", "tile=128"), 2, "leave short_side out")
    result = predict("source=big.png", "save=[color]")
    words = "remain in predictions/train_ids (1); the first was predicted with short_side=40. To replace them, add "
    assert result.returncode == 0 and words + "'save=[train_ids]' overwrite=true." in result.out
    assert "remain" not in predict("source=big.png", "save=[train_ids]", "overwrite=true").out


def test_tiles(predict, tmp_path):
    write(tmp_path / "big.png", noise(0, (150, 300)))
    assert predict("source=big.png", "save=[train_ids]", "tile=128").returncode == 0
    found = cv2.imread(str(tmp_path / "predictions/train_ids/big.png"), cv2.IMREAD_UNCHANGED)
    assert found.shape == (150, 300)
    assert ended(predict("source=big.png", "tile=64"), 2, "tile=64", "128")
    assert ended(predict("source=big.png", "save=[train_ids]"), 2, "tile=128")


def test_val_predictions_for_the_test_server(predict, streets_root, tmp_path):
    """Both evaluators agree on what the command wrote."""
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    result = predict(f"source={streets_root}/leftImg8bit/val", "save=[cityscapes]")
    assert result.returncode == 0 and "3 results for the test server in predictions/cityscapes.zip" in result.out
    folder, matrix = tmp_path / "predictions" / "cityscapes", ConfusionMatrix(19)
    samples = Cityscapes(streets_root).samples("val")
    for sample in samples:
        predicted = read_label(folder / sample.image.name, CITYSCAPES)
        matrix.update(torch.from_numpy(predicted), torch.from_numpy(read_label(sample.label, CITYSCAPES)))
    ours = Scores.from_confusion(matrix.compute(), CITYSCAPES)
    arguments = official.args
    arguments.quiet, arguments.JSONOutput, arguments.evalInstLevelScore = True, False, False
    arguments.predictionPath, arguments.predictionWalk = str(folder), None
    labels = [str(sample.label) for sample in samples]
    found = official.evaluateImgLists([official.getPrediction(arguments, path) for path in labels], labels, arguments)
    assert found["averageScoreClasses"] == pytest.approx(ours.miou, abs=1e-12)
    assert ended(predict("source=predictions/cityscapes.zip", "out=o"), 2, "cityscapes.zip", "not an image")


def test_shards_divide_a_folder(predict, streets_root, tmp_path):
    source = f"source={streets_root}/leftImg8bit"
    first = predict(source, "save=[cityscapes]", "shards=3", "shard=1", "out=parts")
    assert first.returncode == 0 and "is not written yet: 9 of 14 results are missing" in first.out
    result = predict("-m", source, "save=[cityscapes]", "shards=3", "shard=0,1,2", "out=parts")
    assert result.returncode == 0, result.err
    assert "Skipping 5 of 5 images" in result.out and "14 results for the test server" in result.out
    with zipfile.ZipFile(tmp_path / "parts" / "cityscapes.zip") as archive:
        assert len(archive.namelist()) == 14
    assert ended(predict(source, "shards=2", "shard=2"), 2, "shard=2 of shards=2")


def test_shards_in_processes_at_once(predict_as_user, photos, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (photos / "broken.png").write_bytes(b"no image")
    result = predict_as_user("-m", "source=photos", "shards=2", "shard=0,1", "hydra/launcher=parallel")
    assert ended(result, 1, "1 of the sweep's runs failed")
    assert "photos/broken.png" in result.stderr and "1 of 2 images could not be predicted" in result.stderr
    assert files(tmp_path / "predictions" / "overlay") == ["a.jpg", "b.jpg", "trip/c.jpg"]
    assert sorted(os.listdir(tmp_path / "predictions")) == [".lock", "overlay", "predictions.json"]
    (made,) = json.loads((tmp_path / "predictions" / "predictions.json").read_text())["made"]
    assert set(made["outputs"].values()) == {str(path) for path in photos.rglob("*.*g")}
    result = predict_as_user("-m", "source=nowhere", "shards=2", "shard=0,1", "out=an o")
    assert ended(result, 1, "2 of the sweep's runs failed") and not (tmp_path / "an o").exists()


@pytest.mark.parametrize(("device", "used"), [("auto", "cuda:1"), ("cpu", "cpu"), ("cuda:0", "cuda:0")])
def test_shards_at_once_have_a_gpu_each(predict, photos, monkeypatch, device, used):
    def refuse(weights, runtime, precision, device, **_):
        raise InputError(f"The device is {device}.")

    monkeypatch.setattr("regseg.predict.is_one_of_several", lambda: True)
    monkeypatch.setattr("regseg.predict.own_gpu", lambda: 1)
    monkeypatch.setattr("regseg.inference.predictor.Predictor", refuse)
    assert ended(predict("source=photos", f"device={device}"), 2, f"The device is {used}.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["source=nowhere.png"], ["source=nowhere.png does not exist"]),
        (["source=photos/a.jpeg"], ["source=photos/a.jpeg does not exist; did you mean photos/a.jpg?"]),
        (["source=https://example.com/a.jpg"], ["https://example.com/a.jpg is a URL; download the file"]),
        (["source=photos/notes.doc"], ["notes.doc", ".png", ".mp4"]),
        (["source=empty"], ["empty contains no images"]),
        (["source=photos", "out=."], ["out=. contains the source photos"]),
        (["source=photos", "out=photos"], ["out=photos contains the source"]),
        (["source=photos", "out=photos/b.png"], ["is a file"]),
        (["source=clip.mp4"], ["clip.mp4 is not a readable video"]),
        (["source=missing.mp4"], ["missing.mp4"]),
        (["source=clip.mp4", "save=[index]"], ["save=[index]", "overlay, color"]),
        (["source=clip.mp4", "shards=2"], ["is a video", "shards"]),
        (["source=clip.mp4", "shard=1"], ["is a video", "shard"]),
        (["source=clip.mp4", "overlay_format=gif"], ["overlay_format=gif", "png"]),
        (["source=photos", "save=[masks]"], ["masks", "train_ids"]),
        (["source=photos", "save=overlay"], ["save=[overlay,index]"]),
        (["source=photos", "save=[cityscapes]"], ["save=[cityscapes]", "leftImg8bit"]),
        (["source=photos", "save={a:1}"], ["save={a:1} has another structure than the default of save, which --help"]),
        (["source=photos", "overwrite=null"], ["overwrite=null is not a boolean"]),
        (["source=photos", "opacity=2"], ["opacity=2"]),
        (["source=photos", "overwrite=1"], ["overwrite=1"]),
        (["source=photos", "overlay_format=gif"], ["gif", "png"]),
        (["source=photos", "runtime=fast"], ["runtime=fast", "openvino"]),
        (["source=photos", "weights=nowhere.ckpt"], ["nowhere.ckpt"]),
        (["source=photos", "weights=photos"], ["photos", "best.ckpt"]),
        ([], ["source is missing (an image, a folder, a pattern", "; set it with source=VALUE"]),
        (["source=photos", "data=camvid"], ["This command has no group data; --help lists"]),
        (["source=photos", "classes=5"], ["There is no option classes; choose one of device, opacity, out, "]),
        (["source=photos", "device=gpu"], ["device=gpu cannot be used (PyTorch has no such device); choose cpu"]),
        (["source=photos", "device=null"], ["device=null cannot be used (PyTorch has no such device); choose cpu"]),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_sentence_and_leave_nothing(predict, photos, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (photos / "notes.doc").touch()
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    before = files(tmp_path)
    result = predict(*arguments)
    assert ended(result, 2, *words) and len(result.err.strip().splitlines()) == 1
    assert files(tmp_path) == before


def test_a_dataset_whose_labels_are_colours(predict, photos, tmp_path):
    from dataclasses import replace

    weights = write_checkpoint(tmp_path / "camvid.ckpt", replace(CAMVID, ids={}))
    assert ended(predict("source=photos", "save=[index]", weights=weights), 2, "save=[index] needs ids")
    assert predict("source=photos", "save=[color]", weights=weights).returncode == 0
    read_label(tmp_path / "predictions/color/b.png", CAMVID)  # every colour is one of the dataset's


def test_a_full_disk_is_one_sentence(predict, photos, tmp_path, monkeypatch):
    def full(path, write, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("regseg.inference.writers.write_bytes", full)
    result = predict("source=photos")
    assert ended(result, 1, "overlay/", "No space left", "free some space") and len(result.err.splitlines()) == 1
    assert files(tmp_path / "predictions") == [".lock", "predictions.json"]


def test_help_is_quick_and_explains_each_option(run_module):
    result = run_module(PREDICT, "--help")
    assert result.returncode == 0 and "regseg.predict weights=" in result.stdout
    text = (Path(regseg.__file__).parents[2] / "conf" / "predict.yaml").read_text()
    options = re.findall(r"^(\w+): .*$", text.partition("\nweights")[2].partition("\nhydra")[0], re.M)
    lines = [line for line in text.splitlines() if re.match(r"\w+: ", line)]
    assert len(lines) > 12 and all("#" in line for line in lines) and {"source", "shards"} <= set(options)


def test_missing_options_are_named(run_module):
    for arguments in ([], ["weights=a.ckpt"]):
        done = run_module("regseg.predict", *arguments)
        assert done.returncode == 2 and "source is missing" in done.stderr, done.stderr
