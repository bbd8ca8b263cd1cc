"""A model of two blocks, its Lightning checkpoint, and the comparison of weights."""

import torch

import regseg

SMALL = {"backbone": [[1], [1, 2]]}


def small(num_classes=19, **parts):
    return regseg.create_model(**SMALL | parts, num_classes=num_classes)


def lightning_checkpoint(model, **more):
    """A Lightning checkpoint of this project: the network among other tensors, and training state."""
    state = {f"network.{name}": tensor for name, tensor in model.state_dict().items()}
    return {
        "state_dict": {**state, "loss.weight": torch.ones(19)},
        "hyper_parameters": {"network": model.config, "lr": 0.05},
        "epoch": 3,
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.05}]}],
        **more,
    }


def equal(model, other):
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())
