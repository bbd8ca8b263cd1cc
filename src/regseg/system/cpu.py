"""What the processor can do."""

from __future__ import annotations


def computes_in_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16. One that emulates it takes eight times as long as for float32."""
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of torch.cpu; False on other architectures
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
