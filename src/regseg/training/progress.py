"""The console output of training and evaluation: progress bars, lines per evaluation, and the table of scores."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from regseg.data.datamodule import SegmentationDataModule
from regseg.errors import counted
from regseg.models import count_parameters, title_of
from regseg.run_dir import read_summary
from regseg.system.console import duration, plain_console, shown
from regseg.training.checkpoints import Start
from regseg.training.metrics import Scores
from regseg.training.task import SegmentationTask


class ProgressLine(Checkpoint):
    """Print one line per epoch, and on a terminal bars for the run, the epoch and the evaluation.

    On a terminal only evaluated epochs leave a line. In a log file every epoch does, and a long epoch leaves one every
    few minutes. Lightning's bars are not used: they do not show the time left of the whole run, and leave no line per
    evaluation in a log file. On a GPU, they also wait for the loss of every step by default. The base class
    `Checkpoint` makes Lightning call this after `Evaluation` at the end of an epoch.

    Args:
        refresh_seconds: Shortest time between two updates of the bars.
        log_seconds: Time between two lines of a long epoch in a log file.
    """

    def __init__(self, refresh_seconds: float = 0.5, log_seconds: float = 180.0) -> None:
        self.refresh_seconds, self.log_seconds = refresh_seconds, log_seconds
        self.console = plain_console()
        self._bars: Progress | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A console holds a lock, which cannot be sent to the processes of a distributed run.
        return {key: value for key, value in self.__dict__.items() if key != "console"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self.console = plain_console()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the bars."""
        self._batches = int(trainer.num_training_batches)  # finite: the loaders have a length
        self._total = (trainer.max_epochs or 0) * self._batches
        if trainer.max_steps != -1:
            self._total = min(self._total, trainer.max_steps * trainer.accumulate_grad_batches)
        self._first = trainer.current_epoch * self._batches
        self._done, self._began, self._shown = self._first, time.perf_counter(), 0.0
        self._losses, self._loss = 0, 0.0
        if trainer.is_global_zero and self.console.is_terminal:
            columns = [TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[text]}")]
            self._bars = Progress(*columns, console=self.console, transient=True)
            self._bars.start()
            self._run = self._bars.add_task("run", total=self._total, completed=self._first, text="")
            self._epoch = self._bars.add_task("epoch", total=self._batches, text="")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start to count the epoch's images."""
        self._epoch_began, self._epoch_images, self._evaluated = time.perf_counter(), 0, False
        self._logged, self._epoch_batches = self._epoch_began, 0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the bar of an evaluation."""
        if self._bars is not None:
            images = sum(int(count) for count in trainer.num_val_batches)
            self._evaluation = self._bars.add_task("evaluation", total=images, text="")

    def on_validation_batch_end(self, *_: Any) -> None:
        """Advance the bar of the evaluation."""
        if self._bars is not None:
            self._bars.advance(self._evaluation)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that this epoch has an evaluation to print."""
        self._evaluated = True
        if self._bars is not None:
            self._bars.remove_task(self._evaluation)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bars, or print a line in a long epoch."""
        self._done, self._epoch_batches = self._done + 1, self._epoch_batches + 1
        self._epoch_images += len(batch["image"]) * trainer.world_size
        now = time.perf_counter()
        self._rate = self._epoch_images / (now - self._epoch_began)
        if self._bars is not None and now - self._shown > self.refresh_seconds:
            self._shown, loss = now, float(outputs["loss"])
            # A mean at first, then a moving average: the high loss of the first iterations must not linger.
            if math.isfinite(loss):  # with a gradient scaler, other steps are skipped
                self._losses += 1
                self._loss += (loss - self._loss) * max(0.1, 1 / self._losses)
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            text = f"loss {self._loss:.3f}  lr {lr:.3g}  {self._rate:.1f} images/s"
            self._bars.update(self._run, completed=self._done, text=f"{self._left()} left")
            self._bars.update(self._epoch, completed=self._epoch_batches, description=_epoch(trainer), text=text)
        elif self._bars is None and trainer.is_global_zero and now - self._logged > self.log_seconds:
            self._logged = now
            place = f"iteration {self._epoch_batches}/{self._batches}"
            loss = float(outputs["loss"])
            self._print(f"{_epoch(trainer)}  {place}  loss {loss:.3f}  {self._rate:.1f} images/s  {self._left()} left")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the epoch's line; on a terminal if it was evaluated."""
        if not trainer.is_global_zero or (self._bars is not None and not self._evaluated):
            return
        metrics, scores = trainer.callback_metrics, ""
        if self._evaluated:
            scores = f"mIoU {100 * metrics['val/miou']:.2f}  "
            if cast(Any, pl_module).spec.excluded:
                scores += f"reduced {100 * metrics['val/miou_reduced']:.2f}  "
            scores += f"accuracy {100 * metrics['val/accuracy']:.2f}  "
        loss = f"loss {metrics['train/loss']:.3f}"
        # On a terminal the bars show rate and time left, and the line fits 80 columns.
        rate = "" if self._bars is not None else f"{self._rate:.1f} images/s  {self._left()} left"
        self._print(f"{_epoch(trainer)}  {loss}  {scores}{rate}".rstrip())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bars."""
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Remove the bars, and say how to continue an interrupted run."""
        self._stop()
        if isinstance(exception, (KeyboardInterrupt, SystemExit)) and trainer.is_global_zero:
            self._print(f"Interrupted in epoch {trainer.current_epoch + 1}; continue with resume=last.")

    def _print(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)

    def _left(self) -> str:
        elapsed, done = time.perf_counter() - self._began, self._done - self._first
        return duration(elapsed / max(done, 1) * (self._total - self._done))

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _epoch(trainer: L.Trainer) -> str:
    """Return the current epoch, counted from 1, and the number of epochs."""
    return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


class EvaluationBar(L.Callback):
    """A bar over the batches of an evaluation, on a terminal."""

    _bar: Progress | None = None

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the bar."""
        console = plain_console()
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._bar.start()
        self._task = self._bar.add_task("evaluating", total=sum(trainer.num_val_batches))

    def on_validation_batch_end(self, *_: Any) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bar."""
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Remove the bar."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def print_scores(scores: Scores, excluded: Sequence[str] = (), console: Console | None = None) -> None:
    """Print IoU per class, the means and pixel accuracy in percent, and absent classes; reduced mIoU if it differs."""
    table = Table()
    table.add_column("class", overflow="fold")
    table.add_column("IoU %", justify="right")
    for name, value in scores.iou.items():
        mark = " (not in the reduced mean)" if name in excluded else ""
        table.add_row(name + mark, "absent" if value != value else f"{100 * value:.2f}")
    table.add_section()
    table.add_row("mIoU", f"{100 * scores.miou:.2f}", style="bold")
    if excluded:
        table.add_row("reduced mIoU", f"{100 * scores.miou_reduced:.2f}", style="bold")
    table.add_row("pixel accuracy", f"{100 * scores.accuracy:.2f}")
    console = console or plain_console()
    console.print(table)
    if scores.absent:
        absent = f"Absent from labels and predictions, and not in the means: {', '.join(scores.absent)}"
        console.print(absent, soft_wrap=True)


def print_start(folder: Path, start: Start | None, change: str | None, *, asked: bool) -> None:
    """Print what is special about a continued run, or that there is nothing to continue from.

    Args:
        folder: the run's folder.
        start: where the run continues, or None.
        change: a message about a changed schedule; None if it is unchanged.
        asked: whether the user asked for a continuation.
    """
    if start is None and asked:
        print(f"{shown(folder)} has no checkpoint to resume from; starting at epoch 0.")
    for note in filter(None, [start.note, change] if start is not None else []):
        print(note)


def print_plan(
    values: Mapping[str, Any],
    task: SegmentationTask,
    datamodule: SegmentationDataModule,
    folder: Path,
    start: Start | None,
) -> None:
    """Print what is about to run and where its results go.

    Args:
        values: The resolved configuration.
        task: The task.
        datamodule: The DataModule.
        folder: The run's folder.
        start: Where the run continues, or None.
    """
    parameters = count_parameters(task.network) / 1e6
    print(
        f"{title_of(task.network)}, {parameters:.2f} M parameters, on {datamodule.spec.name} "
        f"(training on {datamodule.train_split}, evaluating on {datamodule.val_split}), "
        f"{counted(values['trainer']['max_epochs'], 'epoch')}, batch {datamodule.batch_size}, seed {values['seed']}"
    )
    print(f"images: {len(datamodule.train_set)} for training, {len(datamodule.val_set)} for evaluation")
    continuing = f", continuing from {start.path.name} at epoch {start.epochs}" if start else ""
    print(f"run folder: {shown(folder)}{continuing}")


def print_result(folder: Path, excluded: tuple[str, ...], *, next_step: bool = False) -> None:
    """Print the table of the last evaluation, the best mIoU and the paths of the results.

    Args:
        folder: The run's folder.
        excluded: Names of the classes that are excluded from the reduced mean IoU.
        next_step: Whether to print the command that labels photographs with the result.
    """
    summary = read_summary(folder)
    assert summary is not None  # the run has written it
    last, best = summary["last"], summary["best"]
    if last is None:
        print(f"Nothing was evaluated; the weights are in {shown(folder)}.")
        return
    print(f"epoch {last['epoch'] + 1} on the split {summary['config']['data']['val_split']}")
    print_scores(Scores.from_metrics(last["metrics"]), excluded)
    if best["metrics"]["val/miou"] is not None:  # None if every pixel was ignored
        print(f"best mIoU {100 * best['metrics']['val/miou']:.2f} at epoch {best['epoch'] + 1}")
    for picture in sorted((folder / "pictures").glob("*.png"))[-1:]:
        print(f"predictions: {shown(picture)}")
    print(f"run folder: {shown(folder)}")
    if next_step:
        print(f"label photographs: python -m regseg.predict weights={shlex.quote(str(shown(folder)))} source=FOLDER")
