"""The machine of a benchmark, and its results as JSON."""

import json

import pytest
import torch

from regseg.benchmarks.results import machine, write_results


def test_results_are_written_into_a_new_folder(tmp_path):
    path = write_results([{"milliseconds": 1.5}], tmp_path / "reports" / "mine", "blocks", iterations=3)
    assert path == tmp_path / "reports" / "mine" / "blocks.json"
    expected = {"machine": machine(), "iterations": 3, "results": [{"milliseconds": 1.5}]}
    assert json.loads(path.read_text()) == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="describes a GPU")
def test_a_processor_is_described_with_its_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert machine().endswith(f", 3 threads, PyTorch {torch.__version__}") and not machine().startswith(",")
