"""Sources, weights and output folders that `regseg.predict` refuses or reads: one sentence, nothing half-written."""

import errno
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import ended
from layouts import files, noise, write
from PIL import Image
from videos import write_video

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.inference.export_files import write_graph
from regseg.inference.export_info import ExportInfo

OUT = "predictions/train_ids"


def shape_of(tmp_path, name):
    return cv2.imread(str(tmp_path / OUT / f"{name}.png"), cv2.IMREAD_UNCHANGED).shape


def test_pictures_of_every_kind(predict, tmp_path):
    """CMYK, one bit, 16 bits in colour, alpha in grey, and the first picture of an animation."""
    folder, image = tmp_path / "kinds", Image.fromarray(noise(0, (40, 56)))
    folder.mkdir()
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("1").save(folder / "bits.png")
    image.convert("LA").save(folder / "la.png")
    write(folder / "deep.png", noise(1, (40, 56)).astype(np.uint16) * 257)
    result = predict("source=kinds", "save=[train_ids]")
    assert result.returncode == 0, result.err
    assert {name: shape_of(tmp_path, name) for name in ("cmyk", "bits", "la", "deep")} == dict.fromkeys(
        ("cmyk", "bits", "la", "deep"), (40, 56)
    )


def test_broken_and_tiny_images_are_named_one_by_one(predict, tmp_path):
    folder = tmp_path / "photos"
    write(folder / "good.png", noise(0, (40, 56)))
    write(folder / "pixel.png", noise(0, (1, 1)))
    write(folder / "low.png", noise(0, (31, 400)))
    data = write(folder / "damaged.jpg", noise(0, (40, 56))).read_bytes()
    (folder / "damaged.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")  # decoders fill the rest
    (folder / "empty.jpg").touch()
    (folder / "animated.png").write_bytes(b"GIF89a" + bytes(20))
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "folder.jpg").mkdir()
    write(folder / "folder.jpg" / "inside.png", noise(1, (40, 56)))
    result = predict("source=photos", "save=[train_ids]")
    assert ended(result, 1, "6 of 8 images could not be predicted")
    assert files(tmp_path / OUT) == ["folder.jpg/inside.png", "good.png"]
    for name in ("damaged.jpg", "pixel.png", "low.png", "empty.jpg", "animated.png", "dangling.png"):
        assert sum(name in line for line in result.err.splitlines()) == 1


def test_an_animated_gif_is_a_video(predict, tmp_path):
    av = pytest.importorskip("av")
    frames = [Image.fromarray(noise(number, (40, 56))) for number in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=200)
    assert predict("source=moving.gif").returncode == 0
    with av.open(str(tmp_path / "predictions" / "overlay" / "moving.mp4")) as container:
        assert container.streams.video[0].frames == 3 and container.duration == 600_000


@pytest.mark.parametrize("name", ["other.onnx", "other.xml", "other.ckpt", "other.pth", "other.safetensors", "x.jpg"])
def test_files_of_others_as_weights(predict, photos, tmp_path, name):
    path = tmp_path / name
    if name.endswith(".onnx"):
        onnx = pytest.importorskip("onnx")
        value = onnx.helper.make_tensor_value_info("x", 1, [1])
        node = onnx.helper.make_node("Relu", ["x"], ["y"])
        out = onnx.helper.make_tensor_value_info("y", 1, [1])
        onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out])), path)
    elif name.endswith(".xml"):
        ov = pytest.importorskip("openvino")
        x = ov.opset13.parameter([1], np.float32)
        ov.save_model(ov.Model([ov.opset13.relu(x)], [x]), path)
    elif name.endswith(".safetensors"):
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(3, np.float32)}, path)
    elif name.endswith(".jpg"):
        write(path, noise(0))
    else:
        path.write_bytes(pickle.dumps({"state_dict": {}, "run": os.system}))
    before = files(tmp_path)
    result = predict("source=photos", f"weights={name}", "runtime=auto", "precision=auto")
    assert ended(result, 2, name) and len(result.err.splitlines()) == 1
    assert files(tmp_path) == before


def test_a_graph_in_one_of_several_processes_and_in_tiles(predict, photos, tiny_weights, tmp_path, monkeypatch):
    """Only PyTorch needs a GPU of its own, and a file of a fixed size takes no tiles."""
    pytest.importorskip("openvino")
    info = ExportInfo(SPEC, size=(64, 96))
    write_graph(tmp_path / "net.xml", "openvino", regseg.load_model(tiny_weights), info)
    monkeypatch.setenv("REGSEG_SWEEP_PROCESS", "another:1")
    monkeypatch.setattr("regseg.predict.own_gpu", lambda: 99)
    for runtime in ("auto", "openvino"):
        result = predict("source=photos", f"runtime={runtime}", f"out={runtime}", weights=tmp_path / "net.xml")
        assert result.returncode == 0, result.err
    assert ended(predict("source=photos"), 2, "device=cuda:99 cannot be used")
    result = predict("source=photos", "tile=128", "runtime=auto", "out=tiles", weights=tmp_path / "net.xml")
    assert ended(result, 2, "net.xml accepts only images that are 64 pixels high and 96 wide; leave tile out.")


def test_a_read_only_out(predict, photos, tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal is simulated."""

    def refused(path, *_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("regseg.inference.writers.write_bytes", refused)
    assert ended(predict("source=photos"), 2, "overlay", "Permission denied", "choose another path")
    monkeypatch.setattr("regseg.inference.out_folder.lock", refused)
    assert ended(predict("source=photos", "out=there"), 2, "there/.lock", "Permission denied")
    assert not (tmp_path / "there").exists()


def test_an_out_below_a_file(predict, photos, tmp_path):
    (tmp_path / "file").touch()
    assert ended(predict("source=photos", "out=file"), 2, "out=file is a file")
    assert ended(predict("source=photos", "out=file/below"), 2, "file")


@pytest.mark.parametrize("kind", ["images", "video"])
def test_a_disk_that_fills(run_module, tiny_weights, tmp_path, kind):
    """Files may not exceed a size, as by a quota: what is there is whole."""
    if kind == "video":
        pytest.importorskip("av")
        source, limit = write_video(tmp_path / "drive.mp4", frames=60, size=(256, 256)), 2000
    else:
        source, limit = write(tmp_path / "photos" / "a.png", noise(0, (200, 300))).parent, 3000
    arguments = [f"weights={tiny_weights}", f"source={source}", "out=o", "runtime=torch", "precision=f32"]
    (tmp_path / "limited.py").write_text(
        "import resource\n"
        "from regseg.predict import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "main()\n"
    )
    done = run_module("limited", *arguments)
    assert ended(done, 1, "overlay", "File too large") and len(done.stderr.splitlines()) == 1
    assert files(tmp_path / "o") == [".lock", "predictions.json"]


def test_videos_that_hold_no_picture(predict, tmp_path):
    pytest.importorskip("av")
    (tmp_path / "empty.mp4").touch()
    path = write_video(tmp_path / "cut.mp4", frames=3)
    path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "text.mkv").write_text("no video")
    for name in ("empty.mp4", "cut.mp4", "text.mkv"):
        result = predict(f"source={name}")
        assert ended(result, 2, name, "is not a readable video") and len(result.err.splitlines()) == 1
    assert not (tmp_path / "predictions").exists()


def test_frames_that_are_too_small(predict, tmp_path):
    pytest.importorskip("av")
    write_video(tmp_path / "small.mp4", frames=3, size=(16, 64))
    result = predict("source=small.mp4")
    assert ended(result, 2, "small.mp4", "16 pixels high and 64 wide") and len(result.err.splitlines()) == 1
    assert files(tmp_path / "predictions") == [".lock", "predictions.json"]


def test_the_sound_is_dropped_with_a_message(predict, tmp_path):
    pytest.importorskip("av")
    write_video(tmp_path / "loud.mp4", frames=3, sound=True)
    assert " (without sound)" in predict("source=loud.mp4").out
    assert Path(tmp_path / "predictions" / "overlay" / "loud_legend.png").exists()
