"""The ways from an image to labels that are compared on a GPU."""

import numpy as np
import torch

from regseg.benchmarks.inference import BASELINE, Way, _gpu_ways, _spec
from regseg.models import create_model, save_weights


def test_ways_on_a_gpu(tmp_path):
    """From the author's to graphs and kernels; here each is opened on the CPU, where f16 does not run."""
    path = str(tmp_path / "network.ckpt")
    save_weights(create_model("regseg", backbone=[[1]], num_classes=3).eval(), path)
    ways = list(_gpu_ways(path))
    assert [way.name for way in ways[2:6]] == [
        "torch f16",
        "torch f16, Triton",
        "torch f16, graphs",
        "torch f16, Triton, graphs",
    ]
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 64, 3), np.uint8)
    expected = Way(BASELINE, path).open(_spec(3))(image)
    for way in ways:
        if torch.cuda.is_available() or way.precision == "bf16":
            found = way.open(_spec(3))(image)
            assert found.shape == expected.shape and (found == expected).mean() > 0.8
