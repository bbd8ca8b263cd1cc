"""Checkpoints of networks that were never trained."""

import torch

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.system.checkpoint_file import write_checkpoint_file


def write_checkpoint(path, spec=SPEC, seed=0):
    """The checkpoint of a very small network before its first training step."""
    torch.manual_seed(seed)
    network = regseg.create_model(backbone=[[1]], decoder="lraspp", num_classes=spec.num_classes)
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    parameters = {"network": network.config, "spec": spec.to_dict()}
    write_checkpoint_file(path, {"hyper_parameters": parameters, "state_dict": state})
    return path
