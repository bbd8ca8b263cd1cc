"""Networks whose weights are all random."""

import torch


def fill(network, seed=0):
    """Fill all tensors with random values, so that every part of the network matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.dtype != torch.float32:
            continue
        if name.endswith("conv3.bn.weight"):  # small residuals: otherwise depth amplifies rounding to noise
            tensor.uniform_(0.1, 0.2, generator=generator)
            continue
        if tensor.ndim == 4:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("running_var", "weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(0, 0.1, generator=generator)
    return network.eval()
