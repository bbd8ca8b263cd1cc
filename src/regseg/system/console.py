"""The console for tables and bars, on which a user's own words appear as they are."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A rich console that reads no markup, so that a class called ``road [paved]`` or ``:car:`` is printed whole.

    Args:
        options: of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)
