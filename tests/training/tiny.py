"""The smallest training there is, for tests of what happens around it."""

from functools import partial
from pathlib import Path

import lightning as L
import torch
from torch import nn
from torch.optim import SGD

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.training.callbacks import Evaluation
from regseg.training.checkpoints import BestCheckpoint, LastCheckpoint
from regseg.training.record import RunRecord
from regseg.training.schedules import poly
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer, quiet


class TinyNetwork(nn.Module):
    """One convolution and one BatchNorm; ``change`` gets every batch of a training and its number, from 0."""

    def __init__(self, change=None):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 19, 1), nn.BatchNorm2d(19)
        self.change, self.batches = change, 0

    def forward(self, x):
        logits = self.bn(self.conv(x))
        if self.training and self.change is not None:
            logits = self.change(self, logits, self.batches)
            self.batches += 1
        return logits


def tiny_data(root, batch_size=2):
    """Four batches per epoch of the nine scenes of `streets_root`."""
    return SegmentationDataModule(
        "cityscapes", root, batch_size=batch_size, crop_size=[16, 16], short_side=[32, 32], val_size=32, num_workers=0
    )


def train_tiny(
    root,
    folder,
    *,
    change=None,
    network=None,
    callbacks=(),
    every=100,
    lr=0.01,
    spec=SPEC,
    batch_size=2,
    parts=None,
    ckpt_path=None,
    limits=None,
    stopping=None,
    logger=None,
    **arguments,
):
    """(task, trainer) of a training with the callbacks of a run, evaluated in epoch 0 and at its end.

    ``parts`` are arguments of the task; ``limits`` and ``stopping`` are what the configuration says of the trainer and
    of callbacks.
    """
    quiet()
    torch.manual_seed(0)
    own_parts = {
        "optimizer": partial(SGD, lr=lr, momentum=0.9, weight_decay=1e-4),
        "scheduler": partial(poly, warmup_iters=0),
    }
    task = SegmentationTask(network or TinyNetwork(change), spec, **own_parts | (parts or {}))
    record = RunRecord(Path(folder), {"config": {"trainer": limits or {}, "callbacks": stopping or {}}})
    own = [Evaluation(every, 1), record, LastCheckpoint(), BestCheckpoint()]
    arguments = {"max_epochs": 2, "accelerator": "cpu", "precision": "32-true"} | arguments
    trainer = make_trainer(arguments, Path(folder), [*callbacks, *own])
    trainer.loggers = [logger] if logger else []
    trainer.fit(task, tiny_data(root, batch_size), ckpt_path=ckpt_path, weights_only=True)
    return task, trainer


class Calls(L.Callback):
    """Calls ``function(trainer, module)`` at the hook ``name``."""

    def __init__(self, name, function):
        setattr(self, name, lambda trainer, module, *_: function(trainer, module))
