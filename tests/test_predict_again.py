"""Commands of `regseg.predict` that are repeated, interrupted, or share an output folder."""

import json
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from child_processes import default_signals
from commands import ended
from layouts import files, noise, write
from untrained import write_checkpoint
from videos import write_damaged_video, write_video

import regseg
from regseg.data.io import read_image
from regseg.inference.out_folder import digest


def labels(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_a_damaged_video_is_predicted_and_named_each_time(predict, tmp_path):
    pytest.importorskip("av")
    path, intact, _ = write_damaged_video(tmp_path / "drive.mkv")
    target = tmp_path / "predictions" / "overlay" / "drive.mp4"
    for _ in range(2):
        result = predict("source=drive.mkv")
        assert ended(result, 1, "drive.mkv is damaged", "cannot be decoded in 1 place") and "frames in" in result.out
        assert target.exists()
        target.write_bytes(b"of the former command")
    path.write_bytes(intact)
    assert predict("source=drive.mkv").returncode == 0 and target.stat().st_size > 1000
    result = predict("source=drive.mkv")
    assert result.returncode == 0 and "Skipping" in result.out


def test_both_videos_of_a_damaged_one_are_named(predict, tmp_path):
    """The second of ``save`` may be whole already, or the first."""
    pytest.importorskip("av")
    write_damaged_video(tmp_path / "drive.mkv")
    assert ended(predict("source=drive.mkv", "save=[overlay]"), 1, "is damaged")
    assert ended(predict("source=drive.mkv", "save=[overlay,color]"), 1, "is damaged")
    assert ended(predict("source=drive.mkv", "save=[overlay,color]"), 1, "is damaged")


def test_broken_images_are_named_each_time(predict, photos, tmp_path):
    """Of a folder, a list and a shard; also one that was predicted before it broke."""
    assert predict("source=photos").returncode == 0
    time.sleep(0.02)
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:-40])
    (tmp_path / "list.txt").write_text("photos/trip/c.png\nphotos/b.png\nphotos/gone.png\n")
    for _ in range(2):
        result = predict("source=photos")
        assert ended(result, 1, "1 of 1 image could") and "photos/b.png" in result.err
        assert ended(predict("source=list.txt"), 1, "2 of 2 images could not be predicted")
        assert ended(predict("source=photos", "shards=2", "shard=1"), 1, "1 of 1 image could")
        assert predict("source=photos", "shards=2", "shard=0").returncode == 0
    write(photos / "b.png", noise(1, (40, 56)))
    write(photos / "gone.png", noise(1, (40, 56)))
    assert predict("source=list.txt").returncode == 0 and predict("source=photos").returncode == 0


def test_sources_alternate_in_one_folder(predict, photos, tmp_path):
    write(tmp_path / "more" / "d.png", noise(1, (40, 56)))
    for number in range(2):
        for source, count in (("photos", 3), ("more", 1)):
            result = predict(f"source={source}", "save=[train_ids]")
            assert result.returncode == 0, result.err
            assert (f"Skipping {count} of {count}" in result.out) == (number == 1)
    other = write_checkpoint(tmp_path / "other.ckpt", seed=1)
    write(tmp_path / "more" / "e.png", noise(2, (40, 56)))
    assert ended(predict("source=more", "save=[train_ids]", weights=other), 2, "d.png", "other weights", "overwrite=")
    assert files(tmp_path / "predictions" / "train_ids") == ["a.png", "b.png", "d.png", "trip/c.png"]


def test_images_of_one_name_in_separate_commands(predict, photos, tmp_path):
    write(photos / "a.png", noise(1, (40, 56)))
    assert predict("source=photos/a.jpg", "save=[train_ids]").returncode == 0
    result = predict("source=photos/a.png", "save=[train_ids]")
    assert ended(result, 2, "train_ids/a.png was predicted from", "photos/a.jpg", "overwrite=true")
    before = labels(tmp_path / "predictions" / "train_ids" / "a.png")
    assert predict("source=photos/a.png", "save=[train_ids]", "overwrite=true").returncode == 0
    assert (labels(tmp_path / "predictions" / "train_ids" / "a.png") != before).any()
    assert predict("source=photos", "save=[train_ids]").returncode == 0  # together, both keep their suffix
    assert files(tmp_path / "predictions" / "train_ids") == ["a.jpg.png", "a.png", "a.png.png", "b.png", "trip/c.png"]


def test_videos_of_one_name(predict, tmp_path):
    pytest.importorskip("av")
    for name in ("drive.mp4", "drive.mov"):
        write_video(tmp_path / name, frames=3)
    assert predict("source=drive.mp4").returncode == 0
    assert ended(predict("source=drive.mov"), 2, "overlay/drive.mp4 was predicted from", "drive.mp4")
    assert predict("source=drive.mov", "save=[color]").returncode == 0


def test_an_interrupted_replacement_continues_without_overwrite(predict, photos, tmp_path, monkeypatch):
    """Outputs that are not replaced yet are not kept, and replaced ones are not replaced again."""
    from regseg.inference import pipeline

    assert predict("source=photos", "save=[train_ids]").returncode == 0
    other = write_checkpoint(tmp_path / "other.ckpt", seed=1)
    read, count = pipeline.read_image, []

    def interrupted(path):
        count.append(path)
        if len(count) == 3:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(pipeline, "read_image", interrupted)
    monkeypatch.setattr(pipeline.os, "cpu_count", lambda: 1)
    result = predict("source=photos", "save=[train_ids]", "overwrite=true", weights=other)
    assert result.returncode == 130
    way_on = result.err.splitlines()[-1]
    assert "regseg.predict source=photos 'save=[train_ids]' weights=" in way_on and "overwrite" not in way_on
    done = files(tmp_path / "predictions" / "train_ids")
    assert 0 < len(done) < 3
    result = predict("source=photos", "save=[train_ids]", weights=other)
    assert result.returncode == 0 and f"Skipping {len(done)} of 3 images" in result.out


def test_an_archive_of_earlier_results_is_removed(predict, tmp_path, monkeypatch):
    first, second = (write(tmp_path / "photos" / f"ulm_{n:06d}_000019.png", noise(n, (40, 56))) for n in (0, 1))
    archive = tmp_path / "predictions" / "cityscapes.zip"
    arguments = ("source=photos", "save=[cityscapes]")
    assert predict(*arguments).returncode == 0 and archive.exists()
    assert predict("source=photos").returncode == 0 and archive.exists()
    second.write_bytes(b"no image")
    assert ended(predict(*arguments, "overwrite=true"), 1, "1 of 2 images") and not archive.exists()
    second.write_bytes(first.read_bytes())
    assert predict(*arguments).returncode == 0 and archive.exists()

    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("regseg.inference.pipeline.read_image", interrupted)
    assert predict(*arguments, "overwrite=true").returncode == 130 and not archive.exists()


def test_the_record_names_the_weights_that_were_read(predict, photos, tmp_path, monkeypatch):
    """A training replaces the file while it is opened."""
    path, new = write_checkpoint(tmp_path / "best.ckpt"), write_checkpoint(tmp_path / "new.ckpt", seed=1)
    opened = regseg.Predictor.__init__

    def slowly(self, *arguments, **options):
        opened(self, *arguments, **options)
        path.write_bytes(new.read_bytes())

    monkeypatch.setattr(regseg.Predictor, "__init__", slowly)
    assert predict("source=photos/b.png", "save=[train_ids]", weights=path).returncode == 0
    found = labels(tmp_path / "predictions" / "train_ids" / "b.png")
    assert (found == regseg.Predictor(new, "torch", "f32")(read_image(photos / "b.png"))).all()
    (made,) = json.loads((tmp_path / "predictions" / "predictions.json").read_text())["made"]
    assert made["settings"]["weights"] == digest(new)


def test_before_anything_is_removed_overwrite_is_repeated(predict, photos, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("regseg.inference.predictor.Predictor.__init__", interrupted)
    for more in ([], ["-m"]):
        result = predict(*more, "source=photos", "overwrite=true")
        assert result.returncode == 130 and "overwrite=true" in result.err.splitlines()[-1]


@pytest.mark.parametrize(("kind", "number", "status"), [("images", signal.SIGTERM, 143), ("video", signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_half_written(tmp_path, tiny_weights, kind, number, status):
    if kind == "video":
        pytest.importorskip("av")
        source = write_video(tmp_path / "drive.mp4", frames=2000)
    else:
        source = tmp_path / "photos"
        image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
        first = write(source / "first.png", image)
        for name in range(1, 2000):
            (source / f"{name}.png").hardlink_to(first)
    arguments = [f"weights={tiny_weights}", f"source={source}", "out=o", "runtime=torch", "precision=f32"]
    code = f"import sys\nsys.argv = {['predict', *arguments]!r}\nfrom regseg.predict import main\nmain()\n"
    command = [sys.executable, "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=default_signals, **pipes) as process:
        until = time.monotonic() + 60
        while not list((tmp_path / "o").glob("overlay/*" if kind == "images" else "overlay/.*")):
            assert time.monotonic() < until and process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1].strip().splitlines()
    assert process.returncode == status, errors
    assert errors[0].startswith("regseg: interrupted; continue") and len(errors) == 2 and "regseg.predict" in errors[1]
    found = files(tmp_path / "o" / "overlay")
    assert len(found) < 2000 and (kind == "images" or found == [])
    for name in found[:50]:
        assert not name.startswith(".") and labels(tmp_path / "o" / "overlay" / name) is not None


def test_machines_with_different_runtimes_share_a_folder(predict, photos, tmp_path, monkeypatch):
    """As shards of a sweep do: ``auto`` is compared as given, but a mixture is named."""
    pytest.importorskip("openvino")
    arguments = ["source=photos", "runtime=auto", "precision=auto", "device=cpu"]
    with monkeypatch.context() as patch:
        patch.setattr("regseg.inference.runtimes._installed", lambda package: False)
        assert "with torch in" in predict(*arguments).out
    result = predict(*arguments)
    assert result.returncode == 0 and "with openvino in" in result.out and "Skipping 3 of 3" in result.out
    assert "computed with" not in result.out
    assert ended(predict("source=photos", "precision=auto"), 2, "predicted with runtime=auto (torch in")
    next((tmp_path / "predictions").rglob("*.jpg")).unlink()
    assert "torch in f32 (2), openvino in f32 (1)" in predict(*arguments).out.replace("bf16", "f32")


def test_no_network_is_converted_when_everything_is_predicted(predict, photos, tmp_path, monkeypatch):
    """Even if the earlier conversion is no longer kept."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("REGSEG_CACHE", str(tmp_path / "cache"))
    assert "Converting" in predict("source=photos", "runtime=openvino").out
    shutil.rmtree(tmp_path / "cache")
    result = predict("source=photos", "runtime=openvino")
    assert result.returncode == 0 and "Skipping 3 of 3 images" in result.out and "Converting" not in result.out
