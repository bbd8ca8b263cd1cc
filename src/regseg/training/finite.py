"""Stops training if the loss, gradients or weights are not finite, before anything is saved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import lightning as L
import torch
from torch import Tensor, nn

from regseg.errors import Consequence, InputError
from regseg.models.finite import first_not_finite

# A gradient scaler starts at 2^16 and halves at each overflow, so 20 skipped steps in a row have another cause.
MOST_SKIPPED = 20
_REMEDY = "lower optimizer.lr, or fix these images and labels and continue with resume=last."


class FiniteSteps:
    """Checks loss and gradients before each optimizer step, where the gradient scaler of 16-mixed waits anyway.

    With a gradient scaler, a step with a non-finite loss or gradient is skipped; training stops after `MOST_SKIPPED`
    such steps in a row, or if BatchNorm's running statistics are not finite. Without a scaler the step would damage the
    weights, so training stops before it.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Sequence[str]]] = []  # loss and image files since the last step
        self._trained_on: list[str] = []  # images of the last step
        self._skipped = 0

    def add(self, loss: Tensor, names: Sequence[str]) -> None:
        """Remember the loss and the image files of one batch, without waiting for the value."""
        self._batches.append((loss.detach(), names))

    def check(self, network: nn.Module, trainer: L.Trainer) -> None:
        """Check the remembered losses and the gradients before the optimizer step.

        Args:
            network: The network with its gradients.
            trainer: The Trainer.

        Raises:
            InputError: The step would damage the weights, or too many were skipped; names the iteration and images.
        """
        batches, self._batches = self._batches, []
        before, self._trained_on = self._trained_on, [name for _, names in batches for name in names]
        if _all_finite([loss for loss, _ in batches], network):
            self._skipped = 0
            return
        self._skipped += 1
        if name := first_not_finite(dict(network.named_parameters())):
            raise InputError(f"{name} is not finite before {_place(trainer, before)}; {_REMEDY}")
        skips = getattr(trainer.precision_plugin, "scaler", None) is not None
        if not skips or self._skipped >= MOST_SKIPPED:
            often = f", in {self._skipped} iterations in a row" if skips else ""
            for loss, names in batches:
                if not torch.isfinite(loss):
                    raise InputError(f"The loss is {loss.item()} at {_place(trainer, names, often)}; {_REMEDY}")
            place = _place(trainer, self._trained_on, often)
            # In a distributed run they are averages over all processes, one of which has the loss.
            raise Consequence(f"The gradients are not finite at {place}; {_REMEDY}")
        self.check_state(network.state_dict(), trainer)

    def check_state(self, state: Mapping[str, Tensor], trainer: L.Trainer) -> None:
        """Check weights and running statistics.

        Args:
            state: The network's ``state_dict``.
            trainer: The Trainer.

        Raises:
            InputError: A tensor is not finite; names it, and in training the iteration and images of the last step.
        """
        if (name := first_not_finite(state)) is None:
            return
        if not self._trained_on:
            raise InputError(f"The weight {name} is not finite; use weights of an earlier epoch or another file.")
        raise InputError(f"{name} is not finite after {_place(trainer, self._trained_on)}; {_REMEDY}")


def _all_finite(losses: Sequence[Tensor], network: nn.Module) -> bool:
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    largest = torch._foreach_norm(gradients, math.inf) if gradients else ()  # few kernels for any number of tensors
    values = torch.stack([*losses, *largest])
    return bool(torch.isfinite(values).all())  # the only synchronization with the device


def _place(trainer: L.Trainer, names: Sequence[str], often: str = "") -> str:
    images = f" on {', '.join(names)}" if names else ""
    return f"iteration {trainer.global_step} (epoch {trainer.current_epoch}){often}{images}"
