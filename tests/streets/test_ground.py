"""Ground strips, markings and the label of every pixel below the horizon."""

import numpy as np
from views import camera, light

from regseg.streets.canvas import Canvas
from regseg.streets.ground import Ground, Strip, paint_ground, planes, spot_table
from regseg.streets.labels import ROAD, SIDEWALK


def strips():
    grey = np.full(3, 90.0)
    return [
        Strip(-np.inf, SIDEWALK, grey + 60, 0.0),
        Strip(-4.0, ROAD, grey, 0.0),
        Strip(4.0, SIDEWALK, grey + 60, 0.0),
    ]


def painted(**changes):
    canvas = Canvas(camera(x=0.0), light(), np.random.default_rng(0))
    paint_ground(canvas, np.random.default_rng(1), Ground(strips(), **changes))
    return canvas


def test_labels_are_those_of_the_strips():
    canvas = painted()
    x, z = canvas.camera.ground()
    near = z < 40
    assert (canvas.labels[~(z < 5e3)] == 0).all()
    inside, outside = np.abs(x) < 3.9, np.abs(x) > 4.1
    assert (canvas.labels[near & inside] == ROAD).all() and (canvas.labels[near & outside] == SIDEWALK).all()


def test_a_crossing_is_road_from_side_to_side():
    canvas = painted(crossing=(8.0, 16.0))
    _, z = canvas.camera.ground()
    assert (canvas.labels[(z > 8.5) & (z < 15.5)] == ROAD).all()


def test_a_line_is_brighter_than_the_road():
    plain, marked = painted(), painted(lines=[(0.0, 0.4, 0.0)])
    x, z = plain.camera.ground()
    line = (np.abs(x) < 0.1) & (z < 10)
    assert marked.image[line].mean() > plain.image[line].mean() + 30
    assert np.array_equal(plain.labels, marked.labels)


def test_tables_and_planes():
    assert abs(spot_table(np.random.default_rng(0)).mean()) < 0.3
    assert planes((1, 2, 3)).shape == (3, 1, 1)
