"""Which tensor of a state holds a value that is not a number."""

from collections.abc import Mapping

import torch
from torch import Tensor


def first_not_finite(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first floating-point tensor of `state` with NaN or infinity, or None.

    A module's `state_dict()` has its buffers too, so BatchNorm's running statistics are looked at. All tensors of one
    device are reduced to flags there, and the flags are copied to the host once.
    """
    named = [(name, value) for name, value in state.items() if torch.is_tensor(value) and value.is_floating_point()]
    flags: dict[torch.device, list[tuple[str, Tensor]]] = {}
    for name, value in named:
        flags.setdefault(value.device, []).append((name, torch.isfinite(value.detach()).all()))
    bad = set()
    for pairs in flags.values():
        finite = torch.stack([flag for _, flag in pairs]).tolist()
        bad.update(name for (name, _), is_finite in zip(pairs, finite, strict=True) if not is_finite)
    return next((name for name, _ in named if name in bad), None)
