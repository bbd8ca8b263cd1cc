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
    assert plots.axis_name("x" * 40) == "x" * 40
    assert plots.axis_name("x" * 41) == "x" * 39 + "…"


def test_a_name_is_drawn_literally(tmp_path):
    """A class may be called ``$x``, which matplotlib would parse as mathematics."""
    with plots.figure(tmp_path / "figure.png") as drawn:
        drawn.subplots().set_title("$\\frac{")
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.parametrize("values", [[5, 40], [0.004, 60], [0.2, 0.9], [0.28, 30]])
def test_a_logarithmic_axis_has_plain_numbers(tmp_path, values):
    with plots.figure(tmp_path / "figure.png") as drawn:
        axes = drawn.subplots()
        axes.barh([0, 1], values)
        plots.set_log_x(axes)
        drawn.canvas.draw()
        texts = [label.get_text() for label in axes.get_xticklabels(which="both")]
    assert any(texts) and not any("$" in text or "e" in text for text in texts)
