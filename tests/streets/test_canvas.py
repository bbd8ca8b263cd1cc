"""The camera's projection, the light, and a canvas that paints image and labels together."""

import numpy as np
import pytest
from views import camera, light

from regseg.streets.canvas import Canvas
from regseg.streets.labels import CAR, ROAD


def test_projection_by_hand():
    """A point 10 m ahead, 1 m right of and 1.5 m below the camera is 10 and 15 pixels from the vanishing point."""
    assert camera().project(np.array([1.5, 0.0, 10.0])).tolist() == [74.0, 45.0]


@pytest.mark.parametrize("changes", [{}, {"roll": 0.1}, {"bend": 0.005}, {"roll": -0.05, "bend": -0.003}])
def test_the_ground_is_the_inverse_of_the_projection(changes):
    view = camera(**changes)
    x, z = view.ground()
    rows, columns = np.nonzero(z < 50)
    assert len(rows) > 1000
    near = z[rows, columns] > 0.8  # nearer points are moved
    points = np.column_stack([x[rows, columns], np.zeros(len(rows)), z[rows, columns]])[near]
    np.testing.assert_allclose(view.project(points), np.column_stack([columns, rows])[near], atol=0.05)


def test_objects_out_of_view_are_not_seen():
    view = camera()
    assert view.sees(0.5, 10.0, 1.0) and not view.sees(30.0, 10.0, 1.0)
    assert view.sees(30.0, 10.0, 25.0)  # a wide one


def test_light_and_haze_by_hand():
    assert light().factor(np.array([0.0, 1.0, 0.0])).tolist() == pytest.approx([0.9] * 3)
    assert light().factor(np.array([0.0, -1.0, 0.0])).tolist() == pytest.approx([0.5] * 3)
    assert light().factor().tolist() == pytest.approx([0.7] * 3)
    assert light().haziness(100.0) == pytest.approx(1 - np.exp(-1))
    assert light().tint(np.full(3, 80.0), 1e9).tolist() == [200.0] * 3


def test_a_polygon_is_painted_in_image_and_labels():
    canvas = Canvas(camera(), light(), np.random.default_rng(0))
    square = np.array([(10.0, 10.0), (30.0, 10.0), (30.0, 20.0), (10.0, 20.0)])
    canvas.fill(square, (10.0, 20.0, 30.0), CAR)
    assert canvas.labels[15, 20] == CAR and canvas.image[15, 20].tolist() == [10, 20, 30]
    assert canvas.labels[30, 60] == 0
    canvas.fill(square, None, ROAD)
    assert canvas.labels[15, 20] == ROAD and canvas.image[15, 20].tolist() == [10, 20, 30]


def test_a_glow_is_hidden_by_what_is_painted_over_it():
    canvas = Canvas(camera(), light(night=True), np.random.default_rng(0))
    canvas.glow((0.5, 1.0, 10.0), 1.0, (255.0, 200.0, 130.0))
    assert [glow[:2] for glow in canvas.visible_glows()] == [(64, 35)]
    canvas.fill(np.array([(0.0, 0.0), (128.0, 0.0), (128.0, 64.0), (0.0, 64.0)]), (90.0, 90.0, 90.0))
    assert canvas.visible_glows() == []
