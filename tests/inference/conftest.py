"""A checkpoint of random weights whose labels vary, and its exports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import fill

from regseg.data.augment.transforms import normalize
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.inference.export import SUFFIXES, export
from regseg.models import create_model


def write_checkpoint(path, network, root, spec=SPEC):
    """Write a training checkpoint without the optimizer."""
    data = SegmentationDataModule("cityscapes", root, batch_size=1, crop_size=[32, 32], val_size=64, num_workers=0)
    content = {
        "state_dict": {f"network.{name}": tensor for name, tensor in network.state_dict().items()},
        "hyper_parameters": {"network": network.config, "spec": spec.to_dict()},
        data.CHECKPOINT_HYPER_PARAMS_KEY: dict(data.hparams),
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="session")
def network():
    """RegSeg with 3 instead of 13 blocks at 1/16."""
    return fill(create_model("regseg", backbone=[[1], [1, 2], [1, 4]]))


@pytest.fixture(scope="session")
def checkpoint(network, streets_root, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("run") / "best.ckpt", network, streets_root)


@pytest.fixture(scope="session")
def trained(streets_root, tmp_path_factory):
    """A checkpoint of the same network after a few seconds of training: its classes are no longer nearly tied."""
    data = SegmentationDataModule("cityscapes", streets_root, crop_size=[32, 32], val_size=64, val_split="train")
    data.setup("validate")
    samples = [data.val_set[index] for index in range(len(data.val_set))]
    images = normalize(torch.from_numpy(np.stack([sample["image"] for sample in samples])))
    labels = torch.from_numpy(np.stack([sample["label"] for sample in samples])).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = create_model("regseg", backbone=[[1], [1, 2], [1, 4]]).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(40):
            chosen = torch.randperm(len(images))[:3]
            loss = torch.nn.functional.cross_entropy(network(images[chosen]), labels[chosen], ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return write_checkpoint(tmp_path_factory.mktemp("trained") / "best.ckpt", network.eval(), streets_root)


@pytest.fixture(scope="session")
def exported(checkpoint, tmp_path_factory):
    """A call (format, **options) -> the exported file, each exported once; ``weights`` is another checkpoint."""
    folder, done = tmp_path_factory.mktemp("exported"), {}

    def get(format, weights=checkpoint, **options):
        key = (format, weights, *sorted(options.items()))
        if key not in done:
            path = Path(folder, str(len(done)), f"model{SUFFIXES[format]}")
            export(weights, path, format, **options)
            done[key] = path
        return done[key]

    return get


@pytest.fixture(scope="session")
def photograph():
    """A picture (90, 122, 3) of smooth colours, so that labels form regions."""
    noise = np.random.default_rng(0).normal(size=(1, 3, 6, 8)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(noise), (90, 122), mode="bicubic")[0]
    return np.ascontiguousarray((smooth * 60 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy())
