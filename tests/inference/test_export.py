"""Exported files run without this package, contain their classes, and are checked before they are written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from broken import broken

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference import export as export_module
from regseg.inference import export_check
from regseg.inference.export import SUFFIXES, _move, export
from regseg.inference.runtimes import open_runtime

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")


def expected(network, image):
    from regseg.data.augment.transforms import normalize

    with torch.inference_mode():
        return network(normalize(torch.from_numpy(image[None]))).argmax(1)[0].byte().numpy()


@pytest.mark.parametrize(
    ("format", "runtime"),
    [
        ("onnx", "onnxruntime"),
        ("onnx", "openvino"),
        ("openvino", "openvino"),
        ("torch", "torch"),
        ("torch", "openvino"),
    ],
)
def test_every_format_by_every_runtime(exported, network, photograph, format, runtime):
    predictor = regseg.Predictor(exported(format), runtime, "f32", short_side=None)
    for image in (photograph, photograph[:67, :33]):
        labels = predictor(image)
        assert labels.dtype == np.uint8 and labels.shape == image.shape[:2]
        assert (labels == expected(network, image)).mean() > 0.9999
        assert len(np.unique(labels)) > 3  # else the comparison says nothing
    assert predictor.spec == SPEC


@pytest.mark.parametrize(("height", "least"), [(64, 0.9999), (90, 0.9), (180, 0.9)])
def test_onnx_runtime_alone_as_the_docs_show(exported, photograph, tmp_path, height, least):
    """The example in docs/deploy.md, in a process that does not import this package; larger images are reduced."""
    import cv2

    text = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text("utf-8")
    lines = text.split("without this package\n\n```python\n")[1].split("```")[0]
    assert len(lines.splitlines()) <= 10
    (tmp_path / "model.onnx").write_bytes(exported("onnx").read_bytes())
    image = cv2.resize(photograph, (round(height * 122 / 90), height))
    cv2.imwrite(str(tmp_path / "photo.png"), image[:, :, ::-1])
    code = "import sys\nsys.modules['regseg'] = None\n" + lines + "\nnumpy.save('labels.npy', labels)\n"
    code += "print(record['spec']['classes'][0], record['size'])\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "road None"
    expected = regseg.Predictor(exported("onnx"), "onnxruntime")(image)
    labels, picture = np.load(tmp_path / "labels.npy"), cv2.imread(str(tmp_path / "labels.png"))[:, :, ::-1]
    assert (labels == expected).mean() > least
    assert (picture == SPEC.colorize(labels)).all()


def test_logits_and_a_fixed_size(exported, photograph):
    path = exported("openvino", output="logits", size=(64, 96))
    runtime = open_runtime(path, precision="f32")
    assert runtime.size == (64, 96) and runtime.info.output == "logits"
    whole = open_runtime(path, precision="f32", fused=False)
    assert whole.run(np.zeros((1, 64, 96, 3), np.uint8)).shape == (1, 19, 64, 96)
    assert regseg.Predictor(path)(photograph).shape == photograph.shape[:2]


@pytest.mark.parametrize(("format", "precision"), [("openvino", "bf16"), ("torch", "f16"), ("onnx", "f16")])
def test_half_precision_is_half_as_large(exported, trained, format, precision, photograph):
    path, full = exported(format, trained, precision=precision), exported(format, trained)
    weights = ".bin" if format == "openvino" else path.suffix
    assert path.with_suffix(weights).stat().st_size < 0.55 * full.with_suffix(weights).stat().st_size
    near = regseg.Predictor(path)(photograph) == regseg.Predictor(full, precision="f32")(photograph)
    assert near.mean() > 0.98


def test_the_record(exported):
    for format in ("onnx", "openvino"):
        info = open_runtime(exported(format)).info
        assert info.spec == SPEC and info.network["name"] == "regseg"
        assert info.data["dataset"] == "cityscapes" and not {"root", "num_workers"} & info.data.keys()
        checks = info.provenance["checks"]
        assert [check["image"] for check in checks] == ["random", "random", "real", "real"]
        assert any(check["size"][0] % 2 for check in checks) and max(check["changed"] for check in checks) <= 1e-4
        assert 0 < max(check["difference"] for check in checks) < 1e-5
        assert "/" not in info.provenance["weights"]


def test_a_failed_check_leaves_no_file(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(export_check._ALLOWED, "f32", (-1.0, 1.0))
    for name, format in (("model.onnx", "onnx"), ("model.safetensors", "torch")):
        with pytest.raises(InputError, match="The export changes"):
            export(checkpoint, tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_a_full_disk_leaves_no_file(checkpoint, tmp_path, monkeypatch, format):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / f"model{SUFFIXES[format]}"
    with pytest.raises(OSError, match="No space") as error:
        export(checkpoint, out, format)
    assert error.value.filename == str(out) and list(tmp_path.iterdir()) == []


def test_an_earlier_pair_stays_until_both_new_files_are_on_the_disk(tmp_path, monkeypatch):
    """Flushing a large .bin takes seconds, in which a signal may end the export."""
    for folder, text in (("old", "former"), ("new", "latter")):
        (tmp_path / folder).mkdir()
        for suffix in (".xml", ".bin"):
            (tmp_path / folder / f"m{suffix}").write_text(text)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=[None, KeyboardInterrupt]))
        with pytest.raises(KeyboardInterrupt):
            _move(tmp_path / "new" / "m.xml", tmp_path / "old" / "m.xml")
    assert {path.read_text() for path in (tmp_path / "old").iterdir()} == {"former"}
    _move(tmp_path / "new" / "m.xml", tmp_path / "old" / "m.xml")
    assert [path.read_text() for path in (tmp_path / "old").iterdir()] == ["latter", "latter"]


def test_what_a_killed_export_left_is_removed(checkpoint, tmp_path):
    left = tmp_path / ".model.safetensors.x1y2z3" / "files"
    left.mkdir(parents=True)
    left.with_name(".lock").touch()
    export(checkpoint, tmp_path / "model.safetensors", "torch")
    assert os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "tflite"}, "format=tflite does not exist"),
        ({"output": "masks"}, "output=masks does not exist"),
        ({"precision": "bf16"}, "precision=bf16 does not exist for format=onnx"),
        ({"size": (16, 64)}, "too small"),
        ({"format": "openvino"}, "does not end in .xml"),
    ],
)
def test_wrong_options(checkpoint, tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        export(checkpoint, tmp_path / "model.onnx", **({"format": "onnx"} | options))


def test_files_of_others_and_damaged_ones(exported, tmp_path):
    import onnx

    model = onnx.load(exported("onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    for runtime in ("openvino", "onnxruntime"):
        with pytest.raises(InputError, match="was not exported by this project"):
            open_runtime(tmp_path / "other.onnx", runtime)
        (tmp_path / "cut.onnx").write_bytes(exported("onnx").read_bytes()[:5000])
        with pytest.raises(InputError, match="damaged"):
            open_runtime(tmp_path / "cut.onnx", runtime)
        with pytest.raises(InputError, match="There is no file"):
            open_runtime(tmp_path / "missing.onnx", runtime)


@pytest.mark.parametrize(
    ("format", "precision", "strength"),
    [("onnx", "f32", 1.001), ("torch", "f32", 1.001), ("onnx", "f16", 1.3), ("openvino", "bf16", 2.0)],
)
def test_the_check_sees_a_layer_that_computes_something_else(
    trained, tmp_path, monkeypatch, format, precision, strength
):
    monkeypatch.setattr(export_module, "write_graph", broken(export_module.write_graph, strength))
    out = tmp_path / f"model{SUFFIXES[format]}"
    with pytest.raises(InputError, match="The export changes"):
        export(trained, out, format, precision=precision)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("format", "runtime"), [("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch")])
def test_names_that_are_not_utf_8(checkpoint, photograph, tmp_path, format, runtime):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    out = folder / f"net\udcff{SUFFIXES[format]}"
    export(checkpoint, out, format, root=None)
    assert open_runtime(out, runtime, device="cpu")(photograph[None]).shape == (1, *photograph.shape[:2])


@pytest.mark.parametrize(
    ("format", "part", "runtime"),
    [
        ("onnx", ".onnx", "onnxruntime"),
        ("onnx", ".onnx", "openvino"),
        ("openvino", ".bin", "openvino"),
        ("torch", ".safetensors", "torch"),
    ],
)
def test_a_flipped_byte_of_the_weights_is_detected(exported, tmp_path, format, part, runtime):
    path = exported(format)
    for file in (path, path.with_suffix(part)):
        shutil.copy(file, tmp_path / file.name)
    path, damaged = tmp_path / path.name, tmp_path / path.with_suffix(part).name
    open_runtime(path, runtime, device="cpu")
    whole = damaged.read_bytes()
    for place in range(len(whole) // 3, len(whole), len(whole) // 3):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"damaged"):
            open_runtime(path, runtime, device="cpu")
