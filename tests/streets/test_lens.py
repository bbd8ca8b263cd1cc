"""The camera's position, the light, and the effects of lens and sensor."""

import numpy as np
import pytest
from views import canvas

from regseg.streets.lens import develop, sample_camera, sample_light


def test_cameras_stay_between_their_limits():
    rng = np.random.default_rng(0)
    cameras = [sample_camera(rng, 64, 128, -1.0, 2.0) for _ in range(200)]
    assert all(-1 <= camera.x <= 2 and 1.2 <= camera.y <= 2.6 and camera.focal > 0 for camera in cameras)
    assert {(camera.height, camera.width) for camera in cameras} == {(64, 128)}


def test_light_comes_from_above_and_nights_have_no_sun():
    rng = np.random.default_rng(0)
    lights = [sample_light(rng) for _ in range(300)]
    assert all(np.linalg.norm(light.direction) == pytest.approx(1) and light.direction[1] > 0 for light in lights)
    nights = [light for light in lights if light.night]
    assert 10 < len(nights) < 60 and all((light.sun == 0).all() for light in nights)


def test_developing_leaves_the_canvas_as_it_is_and_repeats_by_seed():
    painted = canvas()
    painted.image[:] = 120
    first, again, other = (develop(painted, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.dtype == np.uint8 and first.shape == (64, 128, 3)
    assert (first == again).all() and (first != other).any()
    assert (painted.image == 120).all() and not painted.labels.any()


def test_a_dark_canvas_is_exposed_longer():
    dark = canvas()
    dark.image[:] = 60
    means = [develop(dark, np.random.default_rng(seed)).mean() for seed in range(20)]
    assert np.mean(means) > 70
