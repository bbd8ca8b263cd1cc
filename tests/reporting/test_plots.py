"""How plots are written."""

import pytest

from regseg.reporting import plots


def test_a_figure_that_fails_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"earlier")
    with pytest.raises(ZeroDivisionError), plots.figure(path):
        1 / 0  # noqa: B018
    with pytest.raises(ValueError, match="abc"), plots.figure(tmp_path / "figure.abc"):
        pass  # a format that matplotlib does not have
    assert path.read_bytes() == b"earlier" and [file.name for file in tmp_path.iterdir()] == ["figure.png"]


def test_long_names_are_shortened():
    assert plots.shortened("x" * 40) == "x" * 40
    assert plots.shortened("x" * 41) == "x" * 39 + "…"


def test_a_name_is_drawn_literally(tmp_path):
    """A class may be called ``$x``, which matplotlib would parse as mathematics."""
    with plots.figure(tmp_path / "figure.png") as drawn:
        drawn.subplots().set_title("$\\frac{")
    assert (tmp_path / "figure.png").stat().st_size > 1000
