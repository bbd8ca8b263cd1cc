"""Exports that compute something else than the network."""

import copy

import torch


def broken(write, strength):
    """Return ``write`` for a network with the weights of one layer scaled, as if the graph were wrong."""

    def write_broken(path, format, network, info, *more):
        network = copy.deepcopy(network)
        with torch.no_grad():
            next(module for name, module in network.named_modules() if name.endswith("conv2.bn")).weight.mul_(strength)
        return write(path, format, network, info, *more)

    return write_broken
