"""Exported files run with ONNX Runtime."""

import sys

import numpy as np
import pytest

from regseg.errors import InputError
from regseg.inference.onnx_runtime import OnnxRuntime

pytest.importorskip("onnxruntime")


def test_the_graph_is_cut_before_the_last_upsampling(exported, photograph):
    """Only with the package onnx; the labels are the same without it."""
    whole, cut = (OnnxRuntime(exported("onnx"), fused=fused) for fused in (False, True))
    assert cut.fused and cut.low_resolution_logits(photograph[None]).shape == (1, 19, 23, 31)
    assert whole.low_resolution_logits(photograph[None]) is None
    assert (whole(photograph[None]) == cut(photograph[None])).mean() > 0.9999


def test_without_the_package_onnx_the_whole_graph_runs(exported, photograph, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    runtime = OnnxRuntime(exported("onnx"), fused=True)
    assert not runtime.fused and runtime(photograph[None]).dtype == np.uint8


def test_only_the_precision_of_the_file_is_accepted(exported):
    assert OnnxRuntime(exported("onnx"), "f32").precision == "f32"
    with pytest.raises(InputError, match=r"computes .*model\.onnx in f32; leave precision=bf16 out"):
        OnnxRuntime(exported("onnx"), "bf16")
