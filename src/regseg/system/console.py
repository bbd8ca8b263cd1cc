"""The rich console on which tables and progress bars are printed. rich is imported when it is used."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from regseg.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


def plain_console(**options: Any) -> Console:
    """Return a rich console without markup, so that a class named ``road [paved]`` or ``:car:`` is printed unchanged.

    In a notebook it prints text, as to a file: widgets would need ipywidgets and are not stored. Jupyter and some CI
    systems set ``FORCE_COLOR``, which would make rich redraw bars in a file.

    Args:
        **options: arguments of `rich.console.Console`.
    """
    from rich.console import Console

    terminal = (options.get("file") or sys.stdout).isatty()
    options = {"force_terminal": terminal, "force_jupyter": False} | options
    return Console(markup=False, emoji=False, highlight=False, **options)


def progress(results: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Iterate over ``results`` with a progress bar on a terminal, or with one printed line elsewhere.

    Args:
        results: the values to iterate over.
        total: their number.
        what: the text to print.
    """
    if not sys.stdout.isatty():
        print(f"{what}: {counted(total, 'image')}", flush=True)
    yield from bar(results, total, what)


def bar(results: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Iterate over ``results`` with a progress bar on a terminal; arguments as for `progress`."""
    from rich.progress import track

    console = plain_console()
    yield from track(results, what, total, console=console, transient=True, disable=not console.is_terminal)


def shown(path: str | Path) -> str:
    """Return a path as a user would type it: relative to the current folder if it is inside."""
    absolute, here = Path(path).absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def size_on_disk(number: float) -> str:
    """Format bytes: 2.41 GB, 15.5 MB."""
    return f"{number / 1e9:.3g} GB" if number >= 1e9 else f"{number / 1e6:.3g} MB"


def duration(seconds: float) -> str:
    """Format seconds: 42 s, 3 min 10 s, 5 h 20 min; a negative number, as of a clock that was set back, is 0 s."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
