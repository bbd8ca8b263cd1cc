"""A small DataModule and its batches, loaded by hand, by Lightning, and on several ranks."""

from itertools import islice
from types import SimpleNamespace

import lightning as L
import torch

from regseg.data.datamodule import SegmentationDataModule

SIZES = {"batch_size": 2, "crop_size": [20, 28], "short_side": [16, 40], "num_workers": 0}


def make(root, stage="fit", **options):
    datamodule = SegmentationDataModule("cityscapes", root, **{**SIZES, **options})
    if stage:
        datamodule.setup(stage)
    return datamodule


def plain(batch):
    return batch["image"].numpy().tobytes(), batch["label"].numpy().tobytes(), tuple(batch["name"])


def epochs(datamodule, numbers, stop_after=None):
    """Batches of the epochs from one loader, as Lightning draws them."""
    loader = datamodule.train_dataloader()
    result = []
    for epoch in numbers:
        loader.sampler.set_epoch(epoch)
        result.append([plain(batch) for batch in islice(loader, stop_after)])
    return result


class Recorder(L.LightningModule):
    """Keeps the batches of every epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.epochs = {}

    def training_step(self, batch, batch_idx):
        self.epochs.setdefault(self.current_epoch, []).append(plain(batch))
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(root, max_epochs, folder, workers, checkpoint=None, **arguments):
    trainer = L.Trainer(
        max_epochs=max_epochs, default_root_dir=folder, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **arguments,
    )  # fmt: skip
    recorder = Recorder()
    datamodule = SegmentationDataModule("cityscapes", root, **{**SIZES, "num_workers": workers})
    trainer.fit(recorder, datamodule, ckpt_path=checkpoint, weights_only=True)
    return trainer, recorder.epochs


def ranks(root, world_size, stage="fit", **options):
    for rank in range(world_size):
        datamodule = make(root, stage=None, **options)
        progress = SimpleNamespace(current=SimpleNamespace(processed=0))
        datamodule.trainer = SimpleNamespace(
            global_rank=rank,
            world_size=world_size,
            fit_loop=SimpleNamespace(epoch_progress=progress),
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
        )
        datamodule.setup(stage)
        yield datamodule
