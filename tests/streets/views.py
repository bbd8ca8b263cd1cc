"""A camera, a light and a canvas, for tests of what is painted."""

import numpy as np

from regseg.streets.canvas import Camera, Canvas, Light


def camera(**changes):
    """128x64 pixels; at x = 0.5 m and 1.5 m above the ground, straight ahead."""
    values = {"height": 64, "width": 128, "focal": 100.0, "vanishing": (64.0, 30.0), "roll": 0.0, "x": 0.5, "y": 1.5}
    return Camera(**{**values, "bend": 0.0, **changes})


def light(**changes):
    """The sun in the zenith."""
    up = np.array([0.0, 1.0, 0.0])
    values = {"ambient": np.full(3, 0.5), "sun": np.full(3, 0.4), "direction": up, "haze": np.full(3, 200.0)}
    return Light(**{**values, "visibility": 100.0, "night": False, **changes})


def canvas(**changes):
    """An empty canvas: image 0, label 0."""
    return Canvas(camera(**changes), light(), np.random.default_rng(0))


def painted(draw, seed=0, **changes):
    """The canvas after ``draw(canvas, rng)``, on a plain ground of label 7 and colour (90, 90, 90)."""
    drawn = canvas(**changes)
    drawn.image[:], drawn.labels[:] = 90, 7
    draw(drawn, np.random.default_rng(seed))
    return drawn


def check_painted(draw, labels, *, share=0.95, **changes):
    """Check the properties that every painted object has.

    Its labels are ``labels``; at least ``share`` of what is labelled is painted; a seed gives one picture; and
    out of view it leaves the labels as they were.
    """
    drawn = painted(draw, **changes)
    assert set(np.unique(drawn.labels)) == {7, *labels}
    changed = (drawn.image != 90).any(2)
    assert changed[drawn.labels != 7].mean() > share
    again = painted(draw, **changes)
    assert (again.image == drawn.image).all() and (again.labels == drawn.labels).all()
    assert (painted(draw, x=500.0).labels == 7).all()
    return drawn
