"""The figures that a test draws."""

from contextlib import contextmanager

import pytest

from regseg.reporting import figures, plots, val_sizes


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn."""
    kept = []

    @contextmanager
    def keeping(*arguments):
        with plots.figure(*arguments) as figure:
            yield figure
            kept.append(figure)

    for module in (figures, val_sizes):
        monkeypatch.setattr(module, "figure", keeping)
    return kept
