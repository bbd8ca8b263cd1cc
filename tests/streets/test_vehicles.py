"""Positions and headings of vehicles."""

import math

import numpy as np
import pytest

from regseg.streets.vehicles import Pose


def test_places_by_hand():
    """A car that heads to the right has its front at larger x and its right side nearer to the camera."""
    pose = Pose(x=2.0, z=10.0, heading=math.pi / 2)
    np.testing.assert_allclose(pose.place(1.5, 0.3, 0.0), [3.5, 0.3, 10.0], atol=1e-12)
    np.testing.assert_allclose(pose.place(0.0, 0.0, 1.0), [2.0, 0.0, 9.0], atol=1e-12)
    np.testing.assert_allclose(pose.direction(1, 0), [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(("heading", "away"), [(0.0, True), (math.pi, False), (0.3, True), (2.8, False)])
def test_headings(heading, away):
    pose = Pose(0.0, 5.0, heading)
    assert pose.leads_away() == away
    assert (pose.moved(1.0).z > 5.0) == away
