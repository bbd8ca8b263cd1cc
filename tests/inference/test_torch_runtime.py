"""What a GPU adds to the torch runtime: precision, graphs and kernels, tried on a CPU as far as it can run them."""

import importlib.util

import numpy as np
import pytest
import torch

from regseg.data.augment.transforms import normalize
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference import torch_runtime
from regseg.inference.folding import fold_batch_norm
from regseg.inference.torch_runtime import TorchRuntime, _Normalize, _precision
from regseg.inference.triton_network import fuse

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_precisions():
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert [_precision(name, gpu) for name in ("auto", "f16", "bf16", "f32")] == ["f16", "f16", "bf16", "f32"]
    assert _precision("auto", cpu) in ("f32", "bf16") and _precision("f32", cpu) == "f32"
    with pytest.raises(InputError, match=r"precision=f16 needs a GPU; choose bf16 or f32\."):
        _precision("f16", cpu)


def test_images_are_normalized_alike():
    images = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = _Normalize()(images)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, normalize(images), rtol=0, atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_a_network_with_kernels_gives_the_same_logits(network):
    images = np.random.default_rng(0).integers(0, 256, (1, 33, 48, 3), np.uint8)
    runtime = TorchRuntime(network, SPEC, "f32", "cpu")
    expected = runtime.low_resolution_logits(images)
    runtime.network = fuse(fold_batch_norm(network).to(memory_format=torch.channels_last))
    assert np.abs(runtime.low_resolution_logits(images) - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_cpu_runs_neither_kernels_nor_graphs(network, monkeypatch):
    monkeypatch.setattr(torch_runtime, "with_kernels", lambda network: pytest.fail("was called"))
    runtime = TorchRuntime(network, SPEC, "bf16", "cpu")
    assert runtime._graphs is None


@GPU
@pytest.mark.parametrize("precision", ["f16", "bf16", "f32"])
def test_graphs_and_kernels_on_a_gpu_give_the_labels_of_eager(network, precision, capsys):
    eager = TorchRuntime(network, SPEC, precision, "cuda", kernels=False, graphs=False)
    runtimes = {
        "graphs": TorchRuntime(network, SPEC, precision, "cuda", kernels=False),
        "kernels": TorchRuntime(network, SPEC, precision, "cuda", graphs=False),
        "both": TorchRuntime(network, SPEC, precision, "cuda"),
    }
    assert not capsys.readouterr().out  # nothing fell back
    rng, most = np.random.default_rng(0), {"f16": 0.02, "bf16": 0.1, "f32": 0.02}[precision]  # f32 multiplies in TF32
    for shape in ((1, 64, 96, 3), (2, 97, 131, 3)):
        for _ in range(3):  # eager, captured, replayed
            images = rng.integers(0, 256, shape, np.uint8)
            expected = eager(images)
            for name, runtime in runtimes.items():
                assert (runtime(images) != expected).mean() <= most, (name, shape)
    assert not capsys.readouterr().out
    assert len(runtimes["both"]._graphs._graphs) == 2


@GPU
def test_a_replayed_graph_does_not_wait_before_the_labels_are_read(network):
    runtime = TorchRuntime(network, SPEC, "f16", "cuda")
    images = np.zeros((1, 64, 96, 3), np.uint8)
    for _ in range(2):
        runtime(images)
    (graph,) = runtime._graphs._graphs.values()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.inference_mode():
            graph.start(images)
    finally:
        torch.cuda.set_sync_debug_mode("default")
