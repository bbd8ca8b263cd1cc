"""Bicycles and motorcycles, with and without riders."""

import pytest
from views import check_painted

from regseg.streets.labels import BICYCLE, MOTORCYCLE, RIDER
from regseg.streets.two_wheelers import draw_two_wheeler


@pytest.mark.parametrize("motor", [False, True])
@pytest.mark.parametrize("ridden", [False, True])
@pytest.mark.parametrize("side_view", [False, True])
def test_a_two_wheeler_has_its_labels_where_it_is_painted(motor, ridden, side_view):
    labels = {MOTORCYCLE if motor else BICYCLE} | ({RIDER} if ridden else set())
    share = (
        0.95 if motor or not side_view else 0.5
    )  # between the spokes one sees the street; the label is the whole wheel
    check_painted(
        lambda canvas, rng: draw_two_wheeler(canvas, rng, 0.5, 6.0, motor, ridden, side_view), labels, share=share
    )
