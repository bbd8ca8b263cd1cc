"""The benchmark of inference: what its results hold, and that memory is that of one process alone."""

import numpy as np

from regseg.benchmarks.inference import _resident, benchmark_inference, draw, inference_table, write_results
from regseg.models import create_model


def test_results_of_a_tiny_network(tmp_path):
    rows = benchmark_inference(
        create_model("regseg", backbone=[[1]], num_classes=3), "tiny", [(64, 96)], 0, 1, few=True, memory=False
    )
    assert [row["runtime"] for row in rows][:2] == ["author", "torch"]
    for row in rows:
        assert row["network"] == "tiny" and row["size"] == [64, 96] and row["precision"] in ("f32", "bf16")
        assert row["median_ms"] > 0 and row["file_to_file_ms"] > 0
        assert row["images_per_s"] == row["images_per_second"] == 1000 / row["median_ms"]
    assert inference_table(rows, 1).row_count == len(rows)
    draw(rows, tmp_path / "inference.png")
    assert (tmp_path / "inference.png").stat().st_size > 1000
    assert write_results({"machine": "m", "results": rows}, tmp_path, "inference").name == "inference.json"


def test_memory_counts_what_is_touched():
    before = _resident("VmRSS")
    held = np.ones(64 * 2**20, np.uint8)
    assert 50 < _resident("VmRSS") - before < 90 and _resident("VmHWM") >= _resident("VmRSS") - 1
    assert held[-1] == 1
