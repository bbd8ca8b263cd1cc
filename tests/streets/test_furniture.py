"""Trees, hedges, poles, lamps, signs, traffic lights and bins."""

import pytest
from views import check_painted, painted

from regseg.streets.furniture import (
    draw_bin,
    draw_bollards,
    draw_hedge,
    draw_lamp,
    draw_mast,
    draw_sign,
    draw_traffic_light,
    draw_tree,
)
from regseg.streets.labels import POLE, STATIC, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION


@pytest.mark.parametrize(
    ("draw", "more", "labels"),
    [
        (draw_tree, (), {VEGETATION}),
        (draw_lamp, (-1.0,), {POLE}),
        (draw_mast, (-1.0,), {POLE}),
        (draw_bollards, (), {POLE}),
        (draw_sign, (), {POLE, TRAFFIC_SIGN}),
        (draw_traffic_light, (-1.0,), {POLE, TRAFFIC_LIGHT}),
        (draw_bin, (), {STATIC}),
    ],
)
def test_furniture_has_its_labels_where_it_is_painted(draw, more, labels):
    check_painted(lambda canvas, rng: draw(canvas, rng, 1.5, 8.0, *more), labels)


def test_a_hedge_is_vegetation():
    check_painted(lambda canvas, rng: draw_hedge(canvas, rng, 3.0, 6.0, 20.0), {VEGETATION})


def test_a_taller_tree_covers_more():
    low, high = (
        (painted(lambda canvas, rng, high=high: draw_tree(canvas, rng, 0.5, 30.0, high)).labels == VEGETATION).sum()
        for high in (3.0, 9.0)
    )
    assert high > 2 * low > 0
