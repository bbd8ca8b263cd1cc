"""Stops training if the loss, gradients or weights are not finite, before anything is saved."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import lightning as L
import torch
from torch import Tensor, nn

from regseg.errors import Consequence, InputError
from regseg.models.finite import first_not_finite
from regseg.training.deferred import DeferredRead, runs_behind

# A gradient scaler starts at 2^16 and halves at each overflow, so 20 skipped steps in a row have another cause.
MOST_SKIPPED = 20
_REMEDY = "lower optimizer.lr, or fix these images and labels and continue with resume=last."


@dataclass
class _Step:
    """What is known before an optimizer step.

    Attributes:
        number: The iteration and epoch, as text.
        batches: Loss and image files of each accumulated batch.
        before: Image files of the step before.
        finite: Whether each loss, and then gradients, weights and running statistics are finite.
    """

    number: str
    batches: Sequence[tuple[Tensor, Sequence[str]]]
    before: Sequence[str]
    finite: DeferredRead

    @property
    def names(self) -> list[str]:
        """The image files of all batches."""
        return [name for _, names in self.batches for name in names]


class FiniteSteps:
    """Checks loss, gradients and weights of each optimizer step.

    With a gradient scaler, a step with a non-finite loss or gradient is skipped; training stops after `MOST_SKIPPED`
    such steps in a row, or if BatchNorm's running statistics are not finite. Without a scaler the step would damage the
    weights, so training stops before it. On a GPU the check does not wait for the device: its result is read before the
    next step, or before weights are evaluated or saved, so one more step may be made.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Sequence[str]]] = []  # loss and image files since the last step
        self._unread: deque[_Step] = deque()
        self._last: _Step | None = None
        self._skipped = 0

    def add(self, loss: Tensor, names: Sequence[str]) -> None:
        """Remember the loss and the image files of one batch, without waiting for the value."""
        self._batches.append((loss.detach(), names))

    def check(self, network: nn.Module, trainer: L.Trainer) -> None:
        """Check the remembered losses, the gradients and the state before the optimizer step; on a GPU one step later.

        Args:
            network: The network with its gradients.
            trainer: The Trainer.

        Raises:
            InputError: The step would damage the weights, or too many were skipped; names the iteration and images.
        """
        batches, self._batches = self._batches, []
        before = self._last.names if self._last else []
        flags = _finite([loss for loss, _ in batches], network)
        number = f"iteration {trainer.global_step} (epoch {trainer.current_epoch})"
        self._last = _Step(number, batches, before, DeferredRead(flags))
        self._unread.append(self._last)
        self._read(network.state_dict, trainer, leave=1 if runs_behind(flags.device) else 0)

    def check_state(self, state: Mapping[str, Tensor], trainer: L.Trainer) -> None:
        """Check the steps whose result was not read yet, and then weights and running statistics.

        Args:
            state: The network's ``state_dict``.
            trainer: The Trainer.

        Raises:
            InputError: A tensor is not finite; names it, and in training the iteration and images of the last step.
        """
        self._read(lambda: state, trainer)
        if (name := first_not_finite(state)) is None:
            return
        if self._last is None:
            raise InputError(f"The weight {name} is not finite; use weights of an earlier epoch or another file.")
        place = f"iteration {trainer.global_step} (epoch {trainer.current_epoch})"
        raise InputError(f"{name} is not finite after {place}{_on(self._last.names)}; {_REMEDY}")

    def _read(self, state: Callable[[], Mapping[str, Tensor]], trainer: L.Trainer, leave: int = 0) -> None:
        while len(self._unread) > leave:
            step = self._unread.popleft()
            *losses, gradients, weights, statistics = step.finite.read().tolist()
            if all((*losses, gradients, weights)):
                self._skipped = 0
                continue
            self._skipped += 1
            skips = getattr(trainer.precision_plugin, "scaler", None) is not None
            if not weights:
                name = first_not_finite(state())
                raise InputError(f"{name} is not finite before {step.number}{_on(step.before)}; {_REMEDY}")
            if not skips or self._skipped >= MOST_SKIPPED:
                raise self._reason(step, losses, skips)
            if not statistics:
                name = first_not_finite(state())
                raise InputError(f"{name} is not finite after {step.number}{_on(step.names)}; {_REMEDY}")

    def _reason(self, step: _Step, losses: Sequence[bool], skips: bool) -> InputError:
        often = f", in {self._skipped} iterations in a row" if skips else ""
        for (loss, names), finite in zip(step.batches, losses, strict=True):
            if not finite:
                return InputError(f"The loss is {loss.item()} at {step.number}{often}{_on(names)}; {_REMEDY}")
        # In a distributed run they are averages over all processes, one of which has the loss.
        return Consequence(f"The gradients are not finite at {step.number}{often}{_on(step.names)}; {_REMEDY}")


def _finite(losses: Sequence[Tensor], network: nn.Module) -> Tensor:
    """Flags for each loss, and for all gradients, weights and running statistics, on the network's device."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    weights = [parameter.detach() for parameter in network.parameters()]
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    groups = [_all_finite(tensors, losses[0].device) for tensors in (gradients, weights, statistics)]
    return torch.stack([*(torch.isfinite(loss).all() for loss in losses), *groups])


def _all_finite(tensors: list[Tensor], device: torch.device) -> Tensor:
    if not tensors:
        return torch.ones((), dtype=torch.bool, device=device)
    if not runs_behind(device):  # the Euclidean norm may overflow, but takes a 25th of the time of the maximum
        bounds = torch.isfinite(torch.stack(torch._foreach_norm(tensors, 2))).all()
        if bounds:
            return bounds
    return torch.isfinite(torch.stack(torch._foreach_norm(tensors, math.inf))).all()  # few kernels for many tensors


def _on(names: Sequence[str]) -> str:
    return f" on {', '.join(names)}" if names else ""
