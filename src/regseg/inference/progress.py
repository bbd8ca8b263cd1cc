"""The progress of a prediction: a bar on a terminal, or a line every half minute elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from regseg.system.console import duration, plain_console


class Counter:
    """Count finished images and show the rate and the time left. Use it as a context manager.

    Args:
        total: number of images; None if it is not known.
        unit: what is counted, in the plural.
        bar: whether to show a bar on a terminal; False where several processes share it.
        every: seconds between two lines where there is no bar.
    """

    def __init__(self, total: int | None, unit: str = "images", *, bar: bool = True, every: float = 30.0) -> None:
        self.total, self.unit, self.every, self.done = total, unit, every, 0
        console = plain_console()
        self._bar: Progress | None = None
        if bar and console.is_terminal:
            self._bar = Progress(BarColumn(20), TextColumn("{task.description}"), console=console, transient=True)

    def __enter__(self) -> Counter:
        self._began = self._shown = time.perf_counter()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(f"0 {self.unit}", total=self.total)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """Count one more."""
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, description=self.text())
        elif (now := time.perf_counter()) - self._shown >= self.every:
            self._shown = now
            print(self.text(), flush=True)

    def text(self) -> str:
        """For example ``120 of 500 images, 11.8 images/s, 32 s left``."""
        rate = self.done / max(self.seconds, 1e-9)
        if self.total is None or self.done > self.total:  # the number of a video's frames may be wrong
            return f"{self._counted(self.done)}, {rate:.1f} {self.unit}/s"
        left = duration((self.total - self.done) / rate) if self.done else "unknown time"
        return f"{self.done} of {self.total} {self.unit}, {rate:.1f} {self.unit}/s, {left} left"

    def summary(self, failed: int = 0) -> str:
        """For example ``500 images in 42 s (11.9 images/s)``; without those that failed."""
        done = self.done - failed
        rate = f" ({done / self.seconds:.1f} {self.unit}/s)" if done else ""
        return f"{self._counted(done)} in {duration(self.seconds)}{rate}"

    def _counted(self, done: int) -> str:
        return f"{done} {self.unit.removesuffix('s') if done == 1 else self.unit}"

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began
