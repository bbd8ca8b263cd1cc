"""The rich console on which tables and progress bars are printed."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """Return a rich console without markup, so that a class named ``road [paved]`` or ``:car:`` is printed unchanged.

    Args:
        **options: arguments of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)
