"""The sky, the skyline, buildings, walls and fences."""

import numpy as np
import pytest
from views import canvas, check_painted, painted

from regseg.streets.backdrop import (
    fence_texture,
    foliage_colour,
    paint_barrier,
    paint_building,
    paint_sky,
    paint_skyline,
    paint_street_end,
    wall_texture,
)
from regseg.streets.labels import BUILDING, FENCE, SKY, VEGETATION, WALL


def test_the_sky_fills_the_canvas():
    drawn = painted(paint_sky)
    assert (drawn.labels == SKY).all() and drawn.image.std() > 1


@pytest.mark.parametrize("seed", range(6))
def test_a_skyline_is_woods_or_houses_around_the_horizon(seed):
    drawn = painted(lambda canvas, rng: paint_skyline(canvas, rng, 180.0), seed)
    found = set(np.unique(drawn.labels)) - {7}
    assert len(found) == 1 and found <= {VEGETATION, BUILDING}
    rows = np.nonzero((drawn.labels != 7).any(1))[0]
    assert 10 <= rows.min() < 30 <= rows.max() + 2 and rows.max() <= 34  # the horizon is row 30


@pytest.mark.parametrize("side", [-1, 1])
def test_a_building_stands_on_its_side_of_the_street(side):
    drawn = check_painted(
        lambda canvas, rng: paint_building(canvas, rng, side, 0.5 + 6.0 * side, 8, 20, 10), {BUILDING}
    )
    columns = np.nonzero((drawn.labels == BUILDING).any(0))[0]
    assert columns.min() > 64 if side > 0 else columns.max() < 64


@pytest.mark.parametrize(("kind", "label"), [("wall", WALL), ("fence", FENCE)])
def test_a_barrier_has_its_label(kind, label):
    drawn = painted(lambda canvas, rng: paint_barrier(canvas, rng, kind, 1, 4.0, 5.0, 20.0))
    assert set(np.unique(drawn.labels)) == {7, label} and not (drawn.labels[:, :64] == label).any()


def test_the_end_of_a_street_closes_the_view():
    drawn = painted(lambda canvas, rng: paint_street_end(canvas, rng, 40.0))
    assert (drawn.labels[29] == BUILDING).mean() > 0.6


def test_textures_have_the_size_of_what_they_cover():
    rng = np.random.default_rng(0)
    assert wall_texture(rng, canvas(), 3.0, 2.0).shape == (16, 24, 3)
    fence = fence_texture(rng, canvas(), 3.0, 2.0)
    assert fence.shape == (24, 36, 4) and fence[..., 3].min() >= 0 and fence[..., 3].max() == 1


def test_colours_are_bytes():
    rng = np.random.default_rng(0)
    colours = np.array([foliage_colour(rng) for _ in range(200)])
    assert colours.min() >= 0 and colours.max() <= 255
