"""Converted networks are kept, checked when they are read, and bounded in number."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import regseg
from regseg.inference import conversion, conversion_cache
from regseg.inference.openvino_runtime import read_model

pytest.importorskip("openvino")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("REGSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


@pytest.fixture(scope="module")
def kept(checkpoint, photograph, tmp_path_factory):
    """(folder of a kept network, the labels that it gives), after one real conversion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        labels = regseg.Predictor(checkpoint, "openvino", "f32")(photograph)
        (folder,) = conversion_cache.cache_folder().iterdir()
    return folder, labels


@pytest.fixture
def conversions(monkeypatch, kept):
    """A list that grows by one with every conversion, which takes no time: it returns the model of `kept`."""
    done = []

    def convert(*arguments):
        done.append(arguments)
        return read_model(kept[0] / "model.xml")[0]

    monkeypatch.setattr(conversion, "to_openvino", convert)
    return done


def test_where_they_are_kept(monkeypatch):
    for name in ("XDG_CACHE_HOME", "REGSEG_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value, folder in (
        ("HOME", "/home/ann", "/home/ann/.cache/regseg/openvino"),
        ("XDG_CACHE_HOME", "/caches", "/caches/regseg/openvino"),
        ("REGSEG_CACHE", "/scratch", "/scratch/openvino"),
    ):
        monkeypatch.setenv(name, value)
        assert conversion_cache.cache_folder() == Path(folder)


def test_a_second_start_does_not_convert(cache, conversions, checkpoint, photograph):
    first = regseg.Predictor(checkpoint, "openvino", "f32")
    assert not conversions and not cache.exists()  # only the first image needs it
    labels = first(photograph)
    again = regseg.Predictor(checkpoint, "openvino", "f32")
    assert (again(photograph) == labels).all() and len(conversions) == 1
    assert again.spec == first.spec and again.short_side == first.short_side == 64
    assert repr(again) == repr(first) and [path.name for path in cache.iterdir()] == [
        conversion_cache.key_of(checkpoint)
    ]


def test_the_first_image_may_come_within_autocast(cache, checkpoint, photograph, kept):
    """As in an evaluation in bf16-mixed, where the conversion failed."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert (regseg.Predictor(checkpoint, "openvino", "f32")(photograph) == kept[1]).all()


def test_a_second_start_needs_no_torch(cache, checkpoint, kept):
    """Without a GPU; a PyTorch for CUDA would be imported to look for one."""
    shutil.copytree(kept[0], cache / kept[0].name)
    code = (
        "import sys, regseg, regseg.system.cpu\n"
        "regseg.system.cpu.has_gpu = lambda: False\n"
        f"predictor = regseg.Predictor({str(checkpoint)!r}, precision='f32')\n"
        "assert predictor.runtime.name == 'openvino' and 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_damaged_model_is_converted_again(cache, conversions, checkpoint, photograph, kept):
    folder, labels = cache / kept[0].name, kept[1]
    shutil.copytree(kept[0], folder)
    for name, content in (("model.bin", None), ("model.bin", b"x"), ("model.xml", b"<net/>"), ("sha256", b"\xff")):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data if content is None else content)
        assert conversion_cache.read(folder.name) is None and not folder.exists()
        assert (regseg.Predictor(checkpoint, "openvino", "f32")(photograph) == labels).all() and folder.exists()
    assert len(conversions) == 4


def test_the_key_covers_weights_versions_and_code(cache, checkpoint, tmp_path, monkeypatch):
    keys = [conversion_cache.key_of(checkpoint)]
    other = tmp_path / "other.ckpt"
    other.write_bytes(checkpoint.read_bytes() + b" ")
    keys.append(conversion_cache.key_of(other))
    conversion_cache._versions.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"another {name}")
    keys.append(conversion_cache.key_of(checkpoint))
    shutil.copytree(conversion_cache._PACKAGE / "models", tmp_path / "models")
    monkeypatch.setattr(conversion_cache, "_PACKAGE", tmp_path)
    for _ in range(2):
        conversion_cache._versions.cache_clear()
        keys.append(conversion_cache.key_of(checkpoint))
        (tmp_path / "models" / "blocks.py").write_text("another network")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: None)  # Python 3.11 without a version
    conversion_cache._versions.cache_clear()
    assert conversion_cache.key_of(checkpoint) is None
    monkeypatch.undo()
    conversion_cache._versions.cache_clear()
    assert len(set(keys)) == len(keys) == 5 and conversion_cache.key_of(checkpoint) == keys[0]


def test_the_last_used_are_kept(cache, kept, monkeypatch):
    monkeypatch.setattr(conversion_cache, "KEPT", 2)
    key = kept[0].name
    shutil.copytree(kept[0], cache / key)
    model, info = conversion_cache.read(key)
    for name in ("a", "b", "c"):
        conversion_cache.read(key)
        conversion_cache.keep(name, model, info)
    assert {path.name for path in cache.iterdir()} == {key, "c"}


def test_what_an_interrupted_conversion_left_is_removed(cache, kept, monkeypatch):
    """A killed one leaves its draft; the next one removes it, and never another network in its place."""
    monkeypatch.setattr(conversion_cache, "KEPT", 1)
    model, info = read_model(kept[0] / "model.xml")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(conversion_cache.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        conversion_cache.keep("a", model, info)
    assert not list(cache.iterdir())
    (cache / ".draft.killed" / "files").mkdir(parents=True)
    (cache / ".draft.killed" / ".lock").touch()
    conversion_cache.keep("a", model, info)
    assert [path.name for path in cache.iterdir()] == ["a"]


def test_an_unwritable_folder_or_a_full_disk_is_not_an_error(cache, conversions, checkpoint, photograph, monkeypatch):
    cache.parent.write_text("a file")
    regseg.Predictor(checkpoint, "openvino", "f32")(photograph)
    cache.parent.unlink()
    monkeypatch.setattr(
        "regseg.inference.conversion_cache.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    regseg.Predictor(checkpoint, "openvino", "f32")(photograph)
    assert not list(cache.iterdir())


def test_weights_that_change_while_they_are_read_are_not_kept(cache, conversions, checkpoint, photograph, monkeypatch):
    keys = iter("ab")
    monkeypatch.setattr(conversion_cache, "key_of", lambda _: next(keys))
    regseg.Predictor(checkpoint, "openvino", "f32")(photograph)
    assert not cache.exists()


@pytest.mark.parametrize("failure", [importlib.metadata.PackageNotFoundError("openvino"), KeyError("Version")])
def test_packages_without_their_metadata(cache, conversions, checkpoint, photograph, monkeypatch, kept, failure):
    """The versions are not known, so nothing can be kept for them; the labels are the same."""
    monkeypatch.setattr(importlib.metadata, "version", lambda _: (_ for _ in ()).throw(failure))
    conversion_cache._versions.cache_clear()
    assert (regseg.Predictor(checkpoint, "openvino", "f32")(photograph) == kept[1]).all()
    conversion_cache._versions.cache_clear()
    assert len(conversions) == 1 and not cache.exists()
