"""Trucks, buses and trains."""

import math

import numpy as np
import pytest
from views import check_painted, painted

from regseg.streets.boxes import draw_bus, draw_train, draw_truck
from regseg.streets.labels import BUS, TRAIN, TRUCK
from regseg.streets.vehicles import Pose


@pytest.mark.parametrize(("draw", "label"), [(draw_bus, BUS), (draw_train, TRAIN), (draw_truck, TRUCK)])
@pytest.mark.parametrize("heading", [0.0, math.pi])
def test_a_box_has_its_label_where_it_is_painted(draw, label, heading):
    check_painted(lambda canvas, rng: draw(canvas, rng, Pose(3.0, 25.0, heading)), {label})


def test_a_nearer_bus_is_larger():
    near, far = (
        (painted(lambda canvas, rng, z=z: draw_bus(canvas, rng, Pose(3.0, z, 0.0))).labels == BUS).sum()
        for z in (25.0, 60.0)
    )
    assert near > 2 * far > 0


def test_a_bus_stands_on_the_ground():
    rows = np.nonzero((painted(lambda canvas, rng: draw_bus(canvas, rng, Pose(2.0, 30.0, 0.0))).labels == BUS).any(1))[
        0
    ]
    rear = 30 + 100 * 1.5 / (30 - 6)  # the row where the ground is 24 m away: no bus is longer than 12 m
    assert rows.max() <= rear + 2
