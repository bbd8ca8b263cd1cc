"""The layout of a street and its ground."""

import numpy as np
import pytest

from regseg.streets.labels import ROAD, SIDEWALK, TERRAIN
from regseg.streets.layout import sample_ground, sample_layout, tram_lanes
from regseg.streets.lens import sample_light


@pytest.fixture(params=range(20))
def rng(request):
    return np.random.default_rng(request.param)


def test_a_street_that_ends_has_a_crossing(rng):
    layout = sample_layout(rng, tram=False)
    assert layout.crossing is not None or not layout.ends
    assert [side.sign for side in layout.sides] == [-1, 1]


def test_tram_tracks_are_on_the_road(rng):
    layout = sample_layout(rng, tram=True)
    assert layout.half_road >= 4.5 > max(tram_lanes()) + 0.72


def test_the_camera_is_on_the_road_or_before_the_frontage(rng):
    layout = sample_layout(rng, tram=False)
    left, right = layout.camera_range(off_road=False)
    assert -layout.half_road < left < right < layout.half_road
    left, right = layout.camera_range(off_road=True)
    assert -layout.frontage_at(layout.sides[0]) < left < right < layout.frontage_at(layout.sides[1])


def test_strips_are_in_order_and_the_road_is_where_the_layout_has_it(rng):
    layout = sample_layout(rng, tram=False)
    strips = sample_ground(rng, layout, sample_light(rng)).strips
    starts = [strip.start for strip in strips]
    assert starts == sorted(starts) and {strip.label for strip in strips} <= {ROAD, SIDEWALK, TERRAIN}
    road = next(index for index, strip in enumerate(strips) if strip.label == ROAD)
    assert strips[road].start == -layout.half_road and strips[road + 1].start == pytest.approx(layout.half_road)
