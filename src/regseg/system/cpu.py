"""What the processor can do."""

from __future__ import annotations

import os


def computes_in_bfloat16() -> bool:
    """Return whether this CPU has bfloat16 instructions. Emulating them takes eight times as long as float32."""
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # in torch.cpu; False on other architectures
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def num_threads() -> int:
    """Return the number of computing threads: OMP_NUM_THREADS if set, else one per core that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def images_at_once() -> int:
    """Return how many images a CPU processes at the same time, each with its share of `num_threads`.

    At most four, because the memory grows with this number.
    """
    return min(num_threads(), 4)
