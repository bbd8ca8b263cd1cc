"""Quantization to 8-bit integers, and how much accuracy it may lose."""

import platform
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from broken import broken

import regseg
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.inference import quantization
from regseg.inference.conversion import to_onnx, to_openvino
from regseg.inference.export import SUFFIXES, export
from regseg.inference.folding import ExportNetwork
from regseg.inference.quantization import check_loss, mean_iou, quantize
from regseg.models import create_model

CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else "vnni"
NEEDS_VNNI = pytest.mark.skipif(
    platform.machine() == "x86_64" and "vnni" not in CPU, reason="ONNX Runtime's sums saturate without VNNI"
)


def test_int8_may_lose_little():
    check_loss(0.5, 0.481)
    check_loss(0.5, 0.6)
    for after in (0.479, float("nan")):
        with pytest.raises(InputError, match="no file was written"):
            check_loss(0.5, after)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["openvino", pytest.param("onnx", marks=NEEDS_VNNI)])
def test_int8(trained, tmp_path, photograph, capsys, monkeypatch, format):
    pytest.importorskip("nncf")
    out, options = tmp_path / f"int8{SUFFIXES[format]}", {"precision": "int8", "calibration_images": 9}
    info = export(trained, out, format, **options)
    assert "mIoU on 3 images" in capsys.readouterr().out
    scores = info.provenance["int8"]
    assert scores["miou_f32"] > 0.08 and abs(scores["miou_int8"] - scores["miou_f32"]) < 0.02
    assert [check["image"] for check in info.provenance["checks"]] == ["random", "random", "real", "real"]
    predictor = regseg.Predictor(out)
    assert predictor.runtime.precision == "int8" and predictor(photograph).shape == photograph.shape[:2]
    if format == "openvino":
        monkeypatch.setattr(quantization, "write_int8", broken(quantization.write_int8, 3.0))
        with pytest.raises(InputError, match="The export changes"):
            export(trained, tmp_path / "broken.xml", format, **options)
        assert not (tmp_path / "broken.xml").exists()


class Constant:
    """A runtime that labels every pixel with one class."""

    resizes_logits, size = True, None

    def __init__(self, label):
        self.label = label

    def __call__(self, images, size):
        return np.full((1, *size), self.label, np.uint8)


def test_the_mean_iou_is_over_the_classes_that_occur():
    """Labels 0, 0, 0, 1: predicting 0 everywhere has an IoU of 3/4 and 0."""
    spec = DatasetSpec("two", ("a", "b"), ((1, 1, 1), (2, 2, 2)))
    image = np.zeros((2, 2, 3), np.uint8)
    data = SimpleNamespace(spec=spec, val_set=[{"image": image, "label": np.array([[0, 0], [0, 1]], np.uint8)}])
    assert mean_iou(Constant(0), data) == pytest.approx(0.375)
    assert mean_iou(Constant(1), data) == pytest.approx(0.125)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "output", "size"),
    [("onnx", "logits", None), ("openvino", "logits", (32, 64)), ("onnx", "labels", (32, 64))],
)
def test_any_output_and_size_is_quantized(format, output, size):
    pytest.importorskip("nncf")
    network = create_model("regseg", backbone=[[1]], num_classes=3).eval()
    convert = to_onnx if format == "onnx" else to_openvino
    images = [np.random.default_rng(0).integers(0, 256, (1, 32, 64, 3), np.uint8)]
    model = quantize(convert(ExportNetwork(network, output), size), images, format)
    kinds = {node.op_type for node in model.graph.node} if format == "onnx" else set()
    kinds |= {node.get_type_name() for node in model.get_ops()} if format == "openvino" else set()
    assert kinds & {"QuantizeLinear", "FakeQuantize"}
