"""Checks for NaN, infinity and negative variances in the tensors of a state dict."""

from collections.abc import Mapping

import torch
from torch import Tensor


def first_not_finite(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first floating-point tensor that contains NaN or infinity.

    The tensors of one device are reduced to flags there, and the flags are copied to the host once. Usually one norm
    of each tensor is enough, which takes a tenth of the time.

    Args:
        state: names and tensors, such as a module's `state_dict()`, which includes BatchNorm's running statistics.

    Returns:
        The name, or None if all tensors are finite.
    """
    named = [(name, _wide(value)) for name, value in state.items() if torch.is_tensor(value) and _is_number(value)]
    if _norms_are_finite([value.detach() for _, value in named]):
        return None
    flags: dict[torch.device, list[tuple[str, Tensor]]] = {}
    for name, value in named:
        flags.setdefault(value.device, []).append((name, torch.isfinite(value.detach()).all()))
    bad: set[str] = set()
    for pairs in flags.values():
        finite = torch.stack([flag for _, flag in pairs]).tolist()
        bad.update(name for (name, _), is_finite in zip(pairs, finite, strict=True) if not is_finite)
    return next((name for name, _ in named if name in bad), None)


def first_negative_variance(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first running variance of BatchNorm with a negative value; None if there is none."""
    variances = (name for name, value in state.items() if name.endswith("running_var") and value.is_floating_point())
    return next((name for name in variances if (_wide(state[name]) < 0).any()), None)


def _is_number(value: Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def _wide(value: Tensor) -> Tensor:
    return value if value.itemsize > 1 else value.float()  # PyTorch computes nothing in 8-bit floating point


def _norms_are_finite(tensors: list[Tensor]) -> bool:
    """Whether the Euclidean norms of all tensors are finite; False also if one overflows."""
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return all(bool(torch.isfinite(torch.stack(torch._foreach_norm(group, 2))).all()) for group in groups.values())
