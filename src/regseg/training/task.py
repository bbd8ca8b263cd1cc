"""The LightningModule around a network and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from regseg.data.augment.transforms import normalize
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.torch_datasets import EvaluationSet
from regseg.errors import InputError, check_options
from regseg.inference.runtime_network import RuntimeNetwork
from regseg.inference.torch_runtime import TorchRuntime
from regseg.inference.upsample import labels_of
from regseg.models import create_model, load_model
from regseg.system.checkpoint_file import read_checkpoint_file
from regseg.system.memory import keep_memory
from regseg.training.batch_norm import check_batch_size, share_statistics
from regseg.training.finite_steps import FiniteSteps
from regseg.training.losses import CrossEntropy
from regseg.training.metrics import ConfusionMatrix, PixelLoss, Scores
from regseg.training.parts import check_part
from regseg.training.schedules import poly, total_iterations
from regseg.training.threaded_evaluation import PREDICTION, PredictedImages
from regseg.training.trainer import check_limits

SGD_OF_THE_PAPER = partial(SGD, lr=0.05, momentum=0.9, weight_decay=1e-4)


class SegmentationTask(L.LightningModule):
    """Training and evaluation of a segmentation network as in Sec. 4.2.

    It logs ``train/loss`` (the epoch's mean), ``train/loss_step``, ``lr``, ``val/miou``, ``val/miou_reduced``,
    ``val/accuracy`` and ``val/iou/<class>``, all scores as fractions. Checkpoints contain the descriptions of the
    network and the dataset as plain values, so that ``SegmentationTask.load_from_checkpoint(path)`` needs nothing else.

    Attributes:
        with_val_loss: whether to log ``val/loss`` too: the mean cross-entropy over all labelled pixels of the split. It
            needs the logits at full size, which an evaluation otherwise avoids. False unless set.

    Args:
        network: maps (B, 3, H, W) float to logits (B, C, H, W); or the arguments of `create_model` as a mapping.
        spec: the dataset's classes; or `DatasetSpec.to_dict` of it.
        loss: maps logits (B, C, H, W) and labels (B, H, W) int64, 255 where ignored, to a scalar; None for
            `CrossEntropy`.
        optimizer: called with the parameter groups of `parameter_groups`, such as
            ``partial(torch.optim.SGD, lr=0.01)``; None for the SGD of Sec. 4.2.
        scheduler: called with the optimizer and the number of iterations of the whole training; stepped after each
            iteration. See `regseg.training.schedules`; None for `poly`.

    Raises:
        InputError: a part that cannot be called or has options that do not fit, or a network with another number of
            classes than the dataset.
    """

    def __init__(
        self,
        network: nn.Module | Mapping[str, Any],
        spec: DatasetSpec | Mapping[str, Any],
        *,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
    ) -> None:
        super().__init__()
        self.network = create_model(**network) if isinstance(network, Mapping) else network
        self.spec = DatasetSpec.from_dict(spec) if isinstance(spec, Mapping) else spec
        _check_classes(self.network, self.spec)
        self.loss = CrossEntropy() if loss is None else loss
        self._make_optimizer = SGD_OF_THE_PAPER if optimizer is None else optimizer
        self._make_scheduler = poly if scheduler is None else scheduler
        check_part("loss", self.loss, None, None)
        check_part("optimizer", self._make_optimizer, [])
        check_part("scheduler", self._make_scheduler, None, 1)
        self.confusion = ConfusionMatrix(self.spec.num_classes)
        self.with_val_loss, self._val_loss = False, PixelLoss()
        self._steps = FiniteSteps()
        self._folded: TorchRuntime | None = None  # during an evaluation
        # Nothing else: a checkpoint names no class or function that could be imported.
        description = {"network": getattr(self.network, "config", {}), "spec": self.spec.to_dict()}
        self.save_hyperparameters(description, logger=False)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # leaves out options of Lightning that have no effect here
        cls, checkpoint_path: str | Path, *, weights_only: bool | None = True, **changes: Any
    ) -> SegmentationTask:
        """Return the task of a checkpoint, in eval mode, on the CPU. No code in the file is run.

        Args:
            checkpoint_path: a checkpoint of a training run, possibly of an earlier version.
            weights_only: part of Lightning's signature; it has no effect, because code is never run.
            changes: arguments of the constructor: ``spec`` in place of the checkpoint's, or ``loss``, ``optimizer`` and
                ``scheduler``, which a checkpoint does not contain.

        Raises:
            InputError: the file is damaged, or is not a training checkpoint.
        """
        network = load_model(checkpoint_path)
        values = read_checkpoint_file(checkpoint_path)["hyper_parameters"]
        try:
            arguments = check_options("checkpoint", {"spec": values["spec"], "network": network, **changes}, cls)
            return cls(**arguments).eval()
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{checkpoint_path} is not a training checkpoint ({error}); choose another.") from error

    def setup(self, stage: str) -> None:
        data = cast(Any, self.trainer).datamodule
        if data is not None and stage in ("fit", "validate"):
            check_limits(self.trainer, data, stage)
        # Before a distributed strategy wraps the parameters. Images are channels-last already; cuDNN would convert the
        # weights every time.
        if self.trainer.strategy.root_device.type == "cuda":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's stubs lack it

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, H, W, 3) uint8 RGB to logits (B, C, H, W)."""
        return self.network(self._normalized(images))

    def _normalized(self, images: Tensor) -> Tensor:
        dtype = next((parameter.dtype for parameter in self.network.parameters()), torch.float32)
        return normalize(images).to(dtype)  # float32 but for the precisions 16-true, bf16-true, 64-true

    def on_fit_start(self) -> None:
        if self.trainer.strategy.root_device.type == "cpu":
            keep_memory()  # a step takes a tenth less time
        data = cast(Any, self.trainer).datamodule
        if data is not None:
            check_batch_size(self.network, data.batch_size, data.hparams.crop_size)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        loss = self.loss(self(batch["image"]), batch["label"].long())
        self._steps.add(loss, batch.get("name", ()))
        # As a tensor of the CPU: Lightning would copy a number to the GPU and wait for everything that is queued there.
        self.log("lr", torch.tensor(float(self.trainer.optimizers[0].param_groups[0]["lr"])))
        if self.trainer.loggers:  # every trainer.log_every_n_steps, of the first process
            self.log("train/loss_step", loss, on_step=True, on_epoch=False, batch_size=len(batch["image"]))
        self.log("train/loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"]))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self._steps.check(self.network, self.trainer)

    # Non-finite weights are never evaluated, recorded or saved.

    def on_validation_start(self) -> None:
        self._steps.check_state(self.network.state_dict(), self.trainer)

    def on_validation_epoch_start(self) -> None:
        share_statistics(self.network)
        self._fold()  # here, because callbacks such as EMA exchange the weights when the epoch starts

    def on_validation_end(self) -> None:
        self._folded = None

    def on_test_epoch_start(self) -> None:
        self._fold()

    def on_test_end(self) -> None:
        self._folded = None

    def _fold(self) -> None:
        """Fold BatchNorm into bfloat16 weights once per evaluation, where autocast would convert them for each image.

        In other precisions the network is evaluated unchanged, so that float32 gives the labels of the network itself.
        """
        on_cpu = self.trainer.strategy.root_device.type == "cpu"
        if on_cpu and self.trainer.precision == "bf16-mixed" and hasattr(self.network, "low_resolution_logits"):
            self._folded = TorchRuntime(self.network, self.spec, "bf16", "cpu")

    def on_train_epoch_end(self) -> None:
        self._steps.check_state(self.network.state_dict(), self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._steps.check_state(checkpoint["state_dict"], self.trainer)

    def predict_labels(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Map images (B, H, W, 3) uint8 to class indices (B, *size) uint8.

        As in the author's release, logits are upsampled to the images' size and then, if it differs, to
        ``size``. At the images' own size this is one step without full-size logits.
        """
        if isinstance(self.network, RuntimeNetwork):
            return self.network(images, size)
        return labels_of(self._logits_for(images, size), size)

    def _logits_for(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits that remain to be upsampled to ``size``; before the last upsampling if that is the images' size."""
        own_size = images.shape[1:3] == size
        if self._folded is not None:
            low = self._folded.logits_of(images)
            return low if own_size else F.interpolate(low, images.shape[1:3], mode="bilinear")
        if own_size and hasattr(self.network, "low_resolution_logits"):
            return cast(Any, self.network).low_resolution_logits(self._normalized(images))
        return self.network(self._normalized(images))

    def predicted(self, dataset: EvaluationSet, batch_size: int = 1) -> PredictedImages:
        """Return evaluation batches with their predictions, made in threads; for a Trainer on the CPU."""
        return PredictedImages(dataset, self.predict_labels, self.trainer.precision_plugin.forward_context, batch_size)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> Mapping[str, Any]:
        if PREDICTION in batch:
            for pair in zip(batch[PREDICTION], batch["label"], strict=True):  # sizes may differ
                self.confusion.update(*pair)
            return batch
        images, labels = batch["image"], batch["label"]
        size = (labels.shape[1], labels.shape[2])
        if self.with_val_loss:
            logits = self._logits_for(images, size)
            predictions = labels_of(logits, size)
            full = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
            self._val_loss.update(full, labels.long())
        else:
            predictions = self.predict_labels(images, size)
        self.confusion.update(predictions, labels)
        return {PREDICTION: predictions}

    def on_validation_epoch_end(self) -> None:
        self._end_of_evaluation("val/")

    def _end_of_evaluation(self, prefix: str) -> None:
        self.counts: Tensor = self.confusion.compute().clone()  # (C, C), rows the label
        self.scores = Scores.from_confusion(self.counts, self.spec)
        self.confusion.reset()
        self.log_dict(self.scores.metrics(prefix))
        if self.with_val_loss:
            sums = self._val_loss.sums()
            if self.trainer.world_size > 1:
                sums = cast(Tensor, self.all_gather(sums.to(self.device))).sum(0)
            self.log(f"{prefix}loss", (sums[0] / sums[1].clamp(min=1)).float())

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> Mapping[str, Any]:
        """Count the predictions of a test batch."""
        return self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log the scores of the test split as ``test/miou``, …"""
        self._end_of_evaluation("test/")

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Map images (B, H, W, 3) uint8 to class indices (B, h, w) uint8, at the size of the labels if given."""
        sized_like = batch["label"] if "label" in batch else batch["image"]
        return self.predict_labels(batch["image"], tuple(sized_like.shape[1:3]))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self._make_optimizer(parameter_groups(self.network))
        scheduler = self._make_scheduler(optimizer, self._total_iterations())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _total_iterations(self) -> int:
        trainer = cast(Any, self.trainer)  # Lightning does not declare its datamodule
        if trainer.datamodule is None or trainer.max_epochs in (None, -1):
            return int(trainer.estimated_stepping_batches)
        return total_iterations(trainer, trainer.datamodule)


def _check_classes(network: nn.Module, spec: DatasetSpec) -> None:
    if not isinstance(network, nn.Module):
        raise InputError(f"The network is of the type {type(network).__name__}; give one of regseg.create_model.")
    classes = getattr(network, "config", {}).get("num_classes", spec.num_classes)
    if classes != spec.num_classes:
        raise InputError(
            f"The network has {classes} classes, but {spec.name} has {spec.num_classes}; create the network with "
            f"num_classes={spec.num_classes}."
        )


def parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Return two parameter groups: BatchNorm's, without weight decay, and all others, even biases (Sec. 4.2)."""
    normalization = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        for parameter in module.parameters(recurse=False)
    }
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if id(p) not in normalization]},
        {"params": [p for p in parameters if id(p) in normalization], "weight_decay": 0.0},
    ]
