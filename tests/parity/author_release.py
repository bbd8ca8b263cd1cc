"""The reference data of this folder (see README.md) and the weights that belong to it."""

import gzip
import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

import regseg

HERE = Path(__file__).parent


@cache
def author_names() -> dict[str, list[tuple[str, list[int]]]]:
    """Return model name -> (name, shape) of every tensor in the author's state dict, in order."""
    with gzip.open(HERE / "author_names.json.gz") as file:
        return json.load(file)


AUTHOR_MODELS = list(author_names())


def our_model(key: str, num_classes: int = 19) -> torch.nn.Module:
    """Create the model `backbone+decoder`, or of this name, in eval mode."""
    backbone, _, decoder = key.partition("+")
    if decoder:
        return regseg.create_model(backbone=backbone, decoder=decoder, num_classes=num_classes).eval()
    return regseg.create_model(key, num_classes=num_classes).eval()


def author_weights(key: str) -> dict[str, torch.Tensor]:
    """Return a state dict with the author's names; each tensor comes from a generator seeded by its name."""
    return {name: _draw(name, shape) for name, shape in author_names()[key]}


def _draw(name: str, shape: list[int]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("running_mean", "bias")):
        values = 0.1 * rng.standard_normal(shape)
    else:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def image(height: int, width: int) -> torch.Tensor:
    values = np.random.default_rng(height).standard_normal((1, 3, height, width))
    return torch.from_numpy(values.astype(np.float32))


def relative_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the largest absolute difference, relative to the largest absolute logit."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
