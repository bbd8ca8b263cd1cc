"""Limbs and ellipses, of which figures consist."""

import numpy as np

from regseg.streets.people import ellipse, head, limb


def test_a_limb_by_hand():
    """An upright bar of length 2, which is 1 wide at its foot and 0.5 at its end."""
    corners = limb((0.0, 0.0), (0.0, 2.0), 1.0, 0.5)
    assert sorted(map(tuple, corners.tolist())) == [(-0.5, 0.0), (-0.25, 2.0), (0.25, 2.0), (0.5, 0.0)]


def test_a_limb_without_length_has_no_infinite_corner():
    assert np.isfinite(limb((1.0, 1.0), (1.0, 1.0), 0.2, 0.2)).all()


def test_an_ellipse_has_its_half_axes():
    corners = ellipse(3.0, 4.0, 2.0, 1.0)
    np.testing.assert_allclose(np.ptp(corners, axis=0), (4.0, 2.0), atol=1e-9)
    np.testing.assert_allclose(corners.mean(0), (3.0, 4.0))


def test_the_face_is_inside_the_hair():
    _, (hair, _), (face, _) = head(np.random.default_rng(0), 0.0, 1.7, 0.1, np.full(3, 150.0))
    assert np.ptp(face[:, 0]) < np.ptp(hair[:, 0])
