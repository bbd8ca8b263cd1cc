"""The memory of a prediction in tiles, of the whole command."""

import subprocess
import sys

import pytest
import torch
from layouts import noise, write
from torch import nn

from regseg.models import load_model

# Not ru_maxrss, which a process inherits from the one that started it: here pytest, with all that its tests loaded.
PEAK = (
    "import re\n"
    "from regseg.predict import main\n"
    "main()\n"
    "print('PEAK', re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
)


def activations(weights, size):
    """Bytes of input and output of the convolution that has most of both, in float32, for an image of ``size`` squared.

    Any runtime of the whole image holds at least these two tensors at once.
    """
    network, counts = load_model(weights).to("meta"), []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, output: counts.append(inputs[0].numel() + output.numel()))
    network(torch.empty(1, 3, size, size, device="meta"))
    return 4 * max(counts)


def peak_of(tmp_path, weights, size, tile):
    """Peak memory in bytes of a process that predicts an image of ``size`` squared."""
    source = write(tmp_path / f"{size}.png", noise(0, (size // 16, size // 16)).repeat(16, 0).repeat(16, 1))
    options = [f"weights={weights}", f"source={source}", f"out={size}_{tile}", "save=[train_ids]", f"tile={tile}"]
    command = [sys.executable, "-c", PEAK, *options, "runtime=torch", "precision=f32", "device=cpu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return 1024 * int(done.stdout.partition("PEAK")[2])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_tiles_need_a_fraction_of_the_memory_of_the_whole_image(tiny_weights, tmp_path):
    """Against a process that predicts 64x64 pixels, whose activations are a thousandth."""
    size = 2048
    needed, small = activations(tiny_weights, size), peak_of(tmp_path, tiny_weights, 64, "null")
    assert peak_of(tmp_path, tiny_weights, size, 512) - small < needed / 3
    assert peak_of(tmp_path, tiny_weights, size, "null") - small > needed * 0.95
