"""What a person sees while a run trains, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from regseg.system.console import duration, plain_console
from regseg.training.metrics import Scores


class ProgressLine(Checkpoint):
    """One line per evaluation, and on a terminal a bar with time left, loss, learning rate and images/s.

    It derives from Lightning's `Checkpoint` to be called after `Evaluation` at an epoch's end, as `RunRecord` is.
    """

    def __init__(self, refresh_seconds: float = 0.5) -> None:
        self.refresh_seconds = refresh_seconds
        self.console = plain_console()
        self._bar: Progress | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A console holds a lock, which does not travel to the processes of a distributed run.
        return {key: value for key, value in self.__dict__.items() if key != "console"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self.console = plain_console()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._total = trainer.max_epochs * trainer.num_training_batches
        if trainer.max_steps != -1:
            self._total = min(self._total, trainer.max_steps * trainer.accumulate_grad_batches)
        self._first = trainer.current_epoch * trainer.num_training_batches
        self._done, self._began, self._shown, self._loss = self._first, time.perf_counter(), 0.0, float("nan")
        if trainer.is_global_zero and self.console.is_terminal:
            columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}")]
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, completed=self._first, text="")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._epoch_began, self._epoch_images, self._evaluated = time.perf_counter(), 0, False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._evaluated = True

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._done += 1
        self._epoch_images += len(batch["image"]) * trainer.world_size
        now = time.perf_counter()
        self._rate = self._epoch_images / (now - self._epoch_began)
        if self._bar is not None and now - self._shown > self.refresh_seconds:
            self._shown, loss = now, float(outputs["loss"])
            self._loss = loss if self._loss != self._loss else 0.9 * self._loss + 0.1 * loss
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            text = f"loss {self._loss:.3f}  lr {lr:.4f}  {self._rate:.1f} images/s  {self._left()} left"
            epoch = f"epoch {trainer.current_epoch}/{trainer.max_epochs}"
            self._bar.update(self._task, completed=self._done, description=epoch, text=text)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._evaluated or not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        self.console.print(
            f"epoch {trainer.current_epoch:4d}/{trainer.max_epochs}  loss {metrics['train/loss']:.3f}  "
            f"mIoU {100 * metrics['val/miou']:.2f}  reduced {100 * metrics['val/miou_reduced']:.2f}  "
            f"accuracy {100 * metrics['val/accuracy']:.2f}  {self._rate:.1f} images/s  {self._left()} left",
            soft_wrap=True,
        )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()
        if isinstance(exception, (KeyboardInterrupt, SystemExit)) and trainer.is_global_zero:
            self.console.print(
                f"interrupted in epoch {trainer.current_epoch}; continue with resume=last", soft_wrap=True
            )

    def _left(self) -> str:
        elapsed, done = time.perf_counter() - self._began, self._done - self._first
        return duration(elapsed / max(done, 1) * (self._total - self._done))

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class EvaluationBar(L.Callback):
    """A bar over an evaluation's images, on a terminal."""

    _bar: Progress | None = None

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        console = plain_console()
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._bar.start()
        self._task = self._bar.add_task("evaluating", total=sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *_: Any) -> None:
        self._bar.advance(self._task)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._bar.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self._bar is not None:
            self._bar.stop()


def print_scores(scores: Scores, left_out: Sequence[str] = (), console: Console | None = None) -> None:
    """Per-class IoU, mIoU, reduced mIoU and pixel accuracy in percent as a table; absent classes are named below."""
    table = Table()
    table.add_column("class", overflow="fold")
    table.add_column("IoU %", justify="right")
    for name, value in scores.iou.items():
        mark = " (not in the reduced mean)" if name in left_out else ""
        table.add_row(name + mark, "absent" if value != value else f"{100 * value:.2f}")
    table.add_section()
    table.add_row("mIoU", f"{100 * scores.miou:.2f}", style="bold")
    table.add_row("reduced mIoU", f"{100 * scores.miou_reduced:.2f}", style="bold")
    table.add_row("pixel accuracy", f"{100 * scores.accuracy:.2f}")
    console = console or plain_console()
    console.print(table)
    if scores.absent:
        absent = f"not in the means, absent from labels and predictions: {', '.join(scores.absent)}"
        console.print(absent, soft_wrap=True)
