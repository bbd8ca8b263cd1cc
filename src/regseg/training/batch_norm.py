"""BatchNorm in training: checks of the batch size, and equal statistics in all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from regseg.errors import InputError
from regseg.models import title_of

_LARGE = (1024, 1024)  # a crop size at which only globally pooled maps are 1x1


def check_batch_size(network: nn.Module, batch_size: int, crop_size: Sequence[int]) -> None:
    """Check that every BatchNorm has more than one value per channel to normalize.

    Only a batch of one image can be too small: after global pooling, or if the crop is so small that a feature map is
    1x1. A forward pass on the meta device, which computes shapes only, finds both.

    Args:
        network: The network to train.
        batch_size: Images per batch on one device.
        crop_size: (height, width) in pixels.

    Raises:
        InputError: A BatchNorm gets a single value per channel; names the network and the layer.
    """
    if batch_size > 1 or (layer := _starved_layer(network, crop_size)) is None:
        return
    title = title_of(network) if hasattr(network, "config") else type(network).__name__
    larger = "" if _starved_layer(network, _LARGE) else " or use a larger data.crop_size"
    raise InputError(
        f"data.batch_size={batch_size} is too small to train {title} on crops of "
        f"{crop_size[0]}x{crop_size[1]}: the BatchNorm {layer} gets a single value per channel; set data.batch_size "
        f"to at least 2{larger}."
    )


def share_statistics(network: nn.Module) -> None:
    """Give all processes of a distributed run the running statistics of the first one, whose weights are saved.

    DDP synchronizes them before each training step, so after the last step they differ between processes.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _starved_layer(network: nn.Module, size: Sequence[int]) -> str | None:
    """Return the first BatchNorm that gets a single value per channel from one image of ``size``; None without one."""
    entered: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: entered.append(name))
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
    ]
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    was_training = network.training
    try:
        network.train()
        torch.func.functional_call(network, meta, torch.empty(1, 3, *size, device="meta"))
    except Exception as error:  # a custom network may need real tensors and fail in any way
        return entered[-1] if "more than 1 value per channel" in str(error) else None
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return None
