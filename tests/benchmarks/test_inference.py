"""The benchmark of inference: the implementations it compares, its results, and the memory of one process."""

import numpy as np
import pytest
import torch
from tables import fits

from regseg.benchmarks.inference import (
    BASELINE,
    Implementation,
    _gpu_implementations,
    _implementations,
    _resident,
    _spec,
    benchmark_inference,
    draw,
    inference_tables,
)
from regseg.benchmarks.results import write_results
from regseg.inference.openvino_runtime import has_bfloat16
from regseg.models import create_model, save_weights


def test_implementations_on_a_gpu(tmp_path):
    """The steps from the author's implementation to graphs and kernels, opened on the CPU, where f16 does not run."""
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
def test_implementations_on_a_cpu(tmp_path, monkeypatch, capsys):
    """Every runtime in every precision, int8 with ONNX Runtime too, which VNNI speeds up; each labels like float32."""
    for package in ("onnx", "onnxruntime", "openvino", "nncf"):
        pytest.importorskip(package)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    network = create_model("regseg", backbone=[[1]], num_classes=3).eval()
    found = list(_implementations(network, _spec(3), tmp_path, int8=True))
    names = [f"torch {one}" for one in ("f32", "bf16")] + [f"onnxruntime {one}" for one in ("f32", "int8")]
    names += [f"openvino {one}" for one in ("f32", "bf16", "int8") if one != "bf16" or has_bfloat16()]
    assert [one.name for one in found] == [BASELINE, *names]
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    expected = found[0].open(_spec(3))(image)
    for one in found[1:]:
        runtime = one.open(_spec(3))
        assert (runtime.name, runtime.precision) == (one.runtime, one.precision)
        assert (runtime(image) == expected).mean() > 0.9, one.name
    assert "Running" not in capsys.readouterr().out
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
    (table,) = inference_tables(rows)
    assert table.row_count == len(rows) and table.title == "One image of 64x96"
    draw(rows, tmp_path / "inference.png")
    assert (tmp_path / "inference.png").stat().st_size > 1000
    assert write_results(rows, tmp_path, "inference").name == "inference.json"


def test_memory_counts_what_is_touched():
    before = _resident("VmRSS")
    held = np.ones(64 * 2**20, np.uint8)
    assert 50 < _resident("VmRSS") - before < 90 and _resident("VmHWM") >= _resident("VmRSS") - 1
    assert held[-1] == 1


def test_the_tables_fit_80_columns():
    names = (BASELINE, f"{BASELINE}, autocast f16", "torch bf16, Triton, graphs", "openvino bf16")
    times = {"median_ms": 1234.5, "quartile_1_ms": 1034.4, "quartile_3_ms": 1345.6, "images_per_s": 123.4}
    times |= {"speedup": 12.3, "file_to_file_ms": 1234.5, "peak_memory_mb": 12345.6}
    rows = [{"size": size, "implementation": name, **times} for size in ([1024, 2048], [720, 960]) for name in names]
    tables = list(inference_tables(rows))
    assert [table.title for table in tables] == ["One image of 1024x2048", "One image of 720x960"]
    assert all(table.row_count == 4 and fits(table) for table in tables)
