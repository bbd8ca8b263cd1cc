"""The LightningModule around a network and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regseg.data.augment.transforms import normalize
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError, check_number, check_options
from regseg.inference.runtime_network import RuntimeNetwork
from regseg.inference.upsample import labels_of
from regseg.models import create_model, load_model
from regseg.system.checkpoint_file import read_checkpoint_file
from regseg.training.batch_norm import check_batch_size
from regseg.training.finite import FiniteSteps
from regseg.training.losses import LOSSES
from regseg.training.metrics import ConfusionMatrix, Scores
from regseg.training.schedules import poly_with_warmup, total_iterations
from regseg.training.trainer import check_limits


class SegmentationTask(L.LightningModule):
    """Training and evaluation of a segmentation network as in Sec. 4.2.

    It logs ``train/loss``, ``lr``, ``val/miou``, ``val/miou_reduced``, ``val/accuracy`` and ``val/iou/<class>``, all
    fractions. Checkpoints hold the network's and the dataset's descriptions as plain values, so that
    ``SegmentationTask.load_from_checkpoint(path)`` needs nothing else.

    Args:
        network: maps (B, 3, H, W) float to logits (B, C, H, W); or the arguments of `create_model` as a mapping.
        spec: the dataset's classes; or `DatasetSpec.to_dict` of it.
        loss: ``cross_entropy`` or ``ohem``.
        loss_options: arguments of the loss, see `regseg.training.losses`.
        lr: initial learning rate of SGD.
        momentum: of SGD, without Nesterov.
        weight_decay: on everything but the parameters of BatchNorm.
        warmup_iters: iterations of linear warm-up from 0.1·lr.
        power: of the poly schedule.

    Raises:
        InputError: an unknown loss, or a network with another number of classes than the dataset.
    """

    def __init__(
        self,
        network: nn.Module | Mapping[str, Any],
        spec: DatasetSpec | Mapping[str, Any],
        *,
        loss: str = "cross_entropy",
        loss_options: Mapping[str, Any] | None = None,
        lr: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        warmup_iters: int = 3000,
        power: float = 0.9,
    ) -> None:
        super().__init__()
        self.network = create_model(**network) if isinstance(network, Mapping) else network
        self.spec = DatasetSpec.from_dict(spec) if isinstance(spec, Mapping) else spec
        _check_classes(self.network, self.spec)
        if loss not in LOSSES:
            raise InputError(f"loss={loss} does not exist; choose one of {', '.join(LOSSES)}.")
        rates = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "warmup_iters": warmup_iters,
            "power": power,
        }
        for name, value in rates.items():
            check_number(f"optimizer.{name}", value, highest=1e38)  # what float32 holds
        self.loss = LOSSES[loss](**check_options("loss", loss_options, LOSSES[loss]))
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.warmup_iters, self.power = warmup_iters, power
        self.confusion = ConfusionMatrix(self.spec.num_classes)
        self._steps = FiniteSteps()
        self.save_hyperparameters(
            {
                "network": getattr(self.network, "config", {}),
                "spec": self.spec.to_dict(),
                "loss": loss,
                "loss_options": dict(loss_options or {}),
                **rates,
            },
            logger=False,
        )

    @classmethod
    def load_from_checkpoint(
        cls, checkpoint_path: str | Path, *, weights_only: bool | None = True, **changes: Any
    ) -> SegmentationTask:
        """The task of a checkpoint, in eval mode, on the CPU. No code of the file runs.

        Args:
            checkpoint_path: a checkpoint of a training.
            weights_only: of Lightning's signature; without effect, because nothing else is ever read.
            changes: arguments of the constructor that replace the checkpoint's.

        Raises:
            InputError: the file is damaged, or is not the checkpoint of a training.
        """
        network = load_model(checkpoint_path)
        values = read_checkpoint_file(checkpoint_path)["hyper_parameters"]
        try:
            arguments = check_options("checkpoint", {**values, "network": network, **changes}, cls)
            return cls(**arguments).eval()
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{checkpoint_path} is not the checkpoint of a training ({error}).") from error

    def setup(self, stage: str) -> None:
        if self.trainer.datamodule is not None and stage in ("fit", "validate"):
            check_limits(self.trainer, stage)
        # Before a distributed strategy wraps the parameters.
        if (
            self.trainer.strategy.root_device.type == "cuda"
        ):  # images are channels-last already; cuDNN would convert the weights every time
            self.network.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, H, W, 3) uint8 RGB to logits (B, C, H, W)."""
        return self.network(self._normalized(images))

    def _normalized(self, images: Tensor) -> Tensor:
        dtype = next((parameter.dtype for parameter in self.network.parameters()), torch.float32)
        return normalize(images).to(dtype)  # float32 but for the precisions 16-true, bf16-true, 64-true

    def on_fit_start(self) -> None:
        data = self.trainer.datamodule
        if data is not None:
            check_batch_size(self.network, data.batch_size, data.hparams.crop_size)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        loss = self.loss(self(batch["image"]), batch["label"].long())
        self._steps.add(loss, batch["name"])
        self.log("lr", self.optimizers().param_groups[0]["lr"])
        self.log("train/loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"]))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self._steps.check(self.network, self.trainer)

    # What is not finite is neither evaluated, so never the best, nor recorded, nor saved.

    def on_validation_start(self) -> None:
        self._steps.check_state(self.network.state_dict(), self.trainer)

    def on_train_epoch_end(self) -> None:
        self._steps.check_state(self.network.state_dict(), self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._steps.check_state(checkpoint["state_dict"], self.trainer)

    def predict_labels(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Images (B, H, W, 3) uint8 to class indices (B, *size) uint8.

        The network's low-resolution logits are interpolated to ``size`` in one step, without full-size logits.
        """
        if isinstance(self.network, RuntimeNetwork):
            return self.network(images, size)
        low = getattr(self.network, "low_resolution_logits", self.network)
        return labels_of(low(self._normalized(images)), tuple(size))

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        predictions = self.predict_labels(batch["image"], batch["label"].shape[1:])
        self.confusion.update(predictions, batch["label"])
        return predictions

    def on_validation_epoch_end(self) -> None:
        self.scores = Scores.from_confusion(self.confusion.compute(), self.spec)
        self.confusion.reset()
        self.log_dict(self.scores.metrics())

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        return self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self.scores = Scores.from_confusion(self.confusion.compute(), self.spec)
        self.confusion.reset()
        self.log_dict(self.scores.metrics("test/"))

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Images (B, H, W, 3) uint8 to class indices (B, h, w) uint8, at the size of the labels if there are any."""
        sized_like = batch["label"] if "label" in batch else batch["image"]
        return self.predict_labels(batch["image"], tuple(sized_like.shape[1:3]))

    def configure_optimizers(self) -> dict[str, Any]:
        total = self._total_iterations()
        if self.warmup_iters > total / 2:
            warn_of_warmup(self.warmup_iters, total)
        optimizer = torch.optim.SGD(
            parameter_groups(self.network, self.weight_decay), lr=self.lr, momentum=self.momentum
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda iteration: poly_with_warmup(iteration, total, self.warmup_iters, self.power)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _total_iterations(self) -> int:
        trainer = self.trainer
        if trainer.datamodule is None or trainer.max_epochs in (None, -1):
            return int(trainer.estimated_stepping_batches)
        return total_iterations(trainer, trainer.datamodule)


def _check_classes(network: nn.Module, spec: DatasetSpec) -> None:
    classes = getattr(network, "config", {}).get("num_classes", spec.num_classes)
    if classes != spec.num_classes:
        raise InputError(
            f"The network has {classes} classes, but {spec.name} has {spec.num_classes}; create the network with "
            f"num_classes={spec.num_classes}."
        )


@rank_zero_only
def warn_of_warmup(warmup_iters: int, total: int) -> None:
    """Say that the learning rate hardly rises; small datasets meet this with the paper's 3000 iterations."""
    print(f"The warm-up of {warmup_iters} iterations takes most of the {total}; lower optimizer.warmup_iters.")


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters with weight decay, and BatchNorm's without; biases of convolutions are decayed too (Sec. 4.2)."""
    normalization = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        for parameter in module.parameters(recurse=False)
    }
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if id(p) not in normalization], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) in normalization], "weight_decay": 0.0},
    ]
