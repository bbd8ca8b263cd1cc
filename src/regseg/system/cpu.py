"""The processor's bfloat16 instructions and cores, and whether there is a GPU."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from pathlib import Path


def bfloat16_is_faster() -> bool:
    """Return whether PyTorch is faster in bfloat16 than in float32 on this CPU.

    Without bfloat16 instructions it takes eight times as long; for those of Intel, see `has_slow_bfloat16`.
    """
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # in torch.cpu; False on other architectures
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks) and not has_slow_bfloat16()


@functools.cache
def has_slow_bfloat16() -> bool:
    """Return whether this is an Intel processor without AMX.

    Its AVX-512 instructions take longer in bfloat16 than in float32, whereas AMD's take half the time; see
    experiments/README.md for the measurements.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    return "GenuineIntel" in text and "amx_bf16" not in text


def has_gpu() -> bool:
    """Return whether PyTorch can use a GPU.

    If PyTorch's version file shows a build without GPU support, PyTorch is not imported.
    """
    spec = None if "torch" in sys.modules else importlib.util.find_spec("torch")
    if spec is not None and spec.origin is not None:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
        if re.findall(r"^(?:cuda|hip)\b.*= *(.*)$", text, re.M) == ["None", "None"]:
            return False
    import torch

    return torch.cuda.is_available()


def num_threads() -> int:
    """Return the number of computing threads: OMP_NUM_THREADS if set, else one per core that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return usable_cores()


def usable_cores() -> int:
    """Return the number of cores that this process may use, under Slurm or Docker maybe fewer than all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def images_at_once() -> int:
    """Return how many images a CPU processes at the same time, each with its share of `num_threads`.

    At most four, because the memory grows with this number.
    """
    return min(num_threads(), 4)
