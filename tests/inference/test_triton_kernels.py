"""Triton's kernels against PyTorch's operations in float32: by the interpreter on a CPU, compiled on a GPU."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("triton", reason="Triton is not installed")

from regseg.inference.triton_kernels import dilated_conv_relu, upsample_argmax

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def convolved(x, weight, bias, rates):
    """relu(grouped convolution + bias) of each part of the channels at its rate, in float32."""
    parts, count = [], len(rates)
    for part, rate in zip(range(count), rates, strict=True):
        own = slice(part * x.shape[1] // count, (part + 1) * x.shape[1] // count)
        options = {"padding": rate, "dilation": rate, "groups": x.shape[1] // count // 16}
        parts.append(F.relu(F.conv2d(x[:, own].float(), weight[own].float(), bias[own], **options)))
    return torch.cat(parts, 1)


ON_A_GPU = pytest.mark.skipif(DEVICE == "cpu", reason="Triton's interpreter takes bfloat16 for integers in products")


@pytest.mark.parametrize("dtype", [torch.float16, pytest.param(torch.bfloat16, marks=ON_A_GPU)])
@pytest.mark.parametrize(
    ("shape", "rates"),
    [
        ((2, 64, 9, 13), (1, 3)),  # odd sizes, a batch that ends within a program
        ((1, 32, 16, 8), (1, 10)),  # exactly one program; a rate beyond the width
        ((1, 64, 5, 6), (1, 4, 8, 12)),
        ((1, 16, 1, 1), (2,)),
    ],
)
def test_dilated_conv(shape, rates, dtype):
    channels, count = shape[1], len(rates)
    x = random(*shape).to(DEVICE, dtype)
    weight, bias = (random(channels, 16, 3, 3, seed=1) / 12).to(DEVICE, dtype), random(channels, seed=2).to(DEVICE)
    taps = weight.reshape(-1, 16, 16, 9).permute(0, 3, 2, 1).contiguous()
    group_rates = torch.tensor(rates, dtype=torch.int32, device=DEVICE).repeat_interleave(channels // 16 // count)
    found = dilated_conv_relu(x, taps, bias, group_rates)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    rounding = torch.finfo(dtype).eps  # products are exact and summed in float32, so only the result is rounded
    torch.testing.assert_close(found.float(), convolved(x, weight, bias, rates), rtol=rounding, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((9, 12), (36, 48)),
        ((9, 7), (33, 27)),
        ((8, 8), (31, 17)),
        ((7, 9), (4, 5)),
        ((1, 1), (3, 5)),
        ((2, 34), (8, 136)),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_upsampled_labels(source, target, memory_format):
    """Labels may differ only where two logits are equal but for float32 rounding."""
    logits = random(2, 5, *source).to(DEVICE).contiguous(memory_format=memory_format)
    full = F.interpolate(logits, target, mode="bilinear", align_corners=False)
    found = upsample_argmax(logits, target)
    assert found.dtype == torch.uint8 and found.shape == (2, *target)
    lost = full.amax(1) - full.gather(1, found[:, None].long())[:, 0]
    assert lost.max() < 1e-5
    assert (found != full.argmax(1)).float().mean() < 1e-3


def test_the_first_of_equal_classes_and_the_last_of_many():
    assert upsample_argmax(torch.zeros(1, 5, 2, 2, device=DEVICE), (3, 4)).max() == 0
    logits = torch.zeros(1, 254, 1, 1, device=DEVICE, dtype=torch.float16)
    logits[:, 253] = 1
    assert upsample_argmax(logits, (1, 1)).min() == 253


COMPILE = """if True:
    import re, sys, triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler.compiler import ASTSource
    from regseg.inference import triton_kernels

    KINDS = {"images": "*fp16", "weights": "*fp16", "biases": "*fp32", "rates": "*i32", "outputs": "*fp16",
             "logits": "*fp16", "labels": "*u8", "scale_down": "fp32", "scale_right": "fp32"}
    VALUES = {"PIXELS": triton_kernels._PIXELS, "GROUP": triton_kernels.GROUP_WIDTH}
    for kernel in (triton_kernels._dilated_conv_kernel, triton_kernels._upsample_argmax_kernel):
        names = kernel.arg_names
        kinds = {name: "constexpr" if name in VALUES else KINDS.get(name, "i32") for name in names}
        values = {name: VALUES[name] for name in names if name in VALUES}
        for capability in (75, 80, 90):
            done = triton.compile(ASTSource(kernel, kinds, values), target=GPUTarget("cuda", capability, 32))
            assert done.asm["cubin"]
            if capability >= 80 and "weights" in names:  # Triton has no tensor core products for Turing
                assert re.search("mma", done.asm["ptx"])
"""


@pytest.mark.slow
def test_they_compile_for_gpus_without_one(tmp_path):
    """For Turing (the paper's T4), Ampere and Hopper; on the latter two with tensor cores."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
