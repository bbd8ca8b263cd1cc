"""A training of two epochs, and damage to its checkpoints."""

import lightning as L
import torch

import regseg
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.training.checkpoints import BestCheckpoint, LastCheckpoint
from regseg.training.record import RunRecord
from regseg.training.schedules import constant
from regseg.training.task import SegmentationTask
from regseg.training.trainer import make_trainer


def train(streets_root, folder, epochs=2, ckpt_path=None):
    L.seed_everything(0, verbose=False)
    task = SegmentationTask(regseg.create_model(backbone=[[1]]), SPEC, scheduler=constant)
    datamodule = SegmentationDataModule(
        "cityscapes", streets_root, batch_size=4, crop_size=[32, 32], short_side=[32, 48], num_workers=0
    )
    callbacks = [RunRecord(folder, {}, {"batch": 4}), LastCheckpoint(), BestCheckpoint()]
    arguments = {"max_epochs": epochs, "accelerator": "cpu", "precision": "32-true"}
    make_trainer(arguments, folder, callbacks).fit(task, datamodule, ckpt_path=ckpt_path)


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def poison(path):
    content = torch.load(path, weights_only=True)
    next(iter(content["state_dict"].values()))[0] = float("nan")
    torch.save(content, path)
