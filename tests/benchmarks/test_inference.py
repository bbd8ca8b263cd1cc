"""The benchmark of inference: the implementations it compares, its results, and the memory of one process."""

import numpy as np
import pytest
import torch

from regseg.benchmarks.inference import (
    BASELINE,
    Implementation,
    _gpu_implementations,
    _implementations,
    _resident,
    _spec,
    benchmark_inference,
    draw,
    inference_table,
)
from regseg.benchmarks.results import write_results
from regseg.models import create_model, save_weights


def test_implementations_on_a_gpu(tmp_path):
    """From the author's to graphs and kernels; here each is opened on the CPU, where f16 does not run."""
    path = str(tmp_path / "network.ckpt")
    save_weights(create_model("regseg", backbone=[[1]], num_classes=3).eval(), path)
    found = list(_gpu_implementations(path))
    assert [one.name for one in found[2:6]] == [
        "torch f16",
        "torch f16, Triton",
        "torch f16, graphs",
        "torch f16, Triton, graphs",
    ]
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 64, 3), np.uint8)
    expected = Implementation(BASELINE, path).open(_spec(3))(image)
    for one in found:
        if torch.cuda.is_available() or one.precision == "bf16":
            labels = one.open(_spec(3))(image)
            assert labels.shape == expected.shape and (labels == expected).mean() > 0.8


@pytest.mark.slow
def test_implementations_on_a_cpu(tmp_path, monkeypatch):
    """Every runtime in every precision, int8 with ONNX Runtime too, which VNNI speeds up; each labels like float32."""
    for package in ("onnx", "onnxruntime", "openvino", "nncf"):
        pytest.importorskip(package)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    network = create_model("regseg", backbone=[[1]], num_classes=3).eval()
    found = list(_implementations(network, _spec(3), tmp_path, int8=True))
    names = [f"torch {one}" for one in ("f32", "bf16")] + [f"onnxruntime {one}" for one in ("f32", "int8")]
    names += [f"openvino {one}" for one in ("f32", "bf16", "int8")]
    assert [one.name for one in found] == [BASELINE, *names]
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    expected = found[0].open(_spec(3))(image)
    for one in found[1:]:
        runtime = one.open(_spec(3))
        assert (runtime.name, runtime.precision) == (one.runtime, one.precision)
        assert (runtime(image) == expected).mean() > 0.9, one.name
    without = _implementations(network, _spec(3), tmp_path, int8=False)
    assert [one.name for one in without] == [one.name for one in found if one.precision != "int8"]


def test_results_of_a_tiny_network(tmp_path):
    rows = benchmark_inference(
        create_model("regseg", backbone=[[1]], num_classes=3), "tiny", [(64, 96)], 0, 1, few=True, memory=False
    )
    assert [row["runtime"] for row in rows][:2] == ["author", "torch"]
    for row in rows:
        assert row["network"] == "tiny" and row["size"] == [64, 96] and row["precision"] in ("f32", "bf16")
        assert row["median_ms"] > 0 and row["file_to_file_ms"] > 0
        assert row["images_per_s"] == 1000 / row["median_ms"]
    assert inference_table(rows, 1).row_count == len(rows)
    draw(rows, tmp_path / "inference.png")
    assert (tmp_path / "inference.png").stat().st_size > 1000
    assert write_results(rows, tmp_path, "inference").name == "inference.json"


def test_memory_counts_what_is_touched():
    before = _resident("VmRSS")
    held = np.ones(64 * 2**20, np.uint8)
    assert 50 < _resident("VmRSS") - before < 90 and _resident("VmHWM") >= _resident("VmRSS") - 1
    assert held[-1] == 1
