"""Exports that compute something else than the network."""

import copy

import torch


def broken(write, strength):
    """``write`` of a network of which one layer's weights are scaled; as a wrong graph would compute."""

    def write_broken(path, format, network, info, *more):
        network = copy.deepcopy(network)
        with torch.no_grad():
            next(module for name, module in network.named_modules() if name.endswith("conv2.bn")).weight.mul_(strength)
        return write(path, format, network, info, *more)

    return write_broken
