"""Which objects stand on the street, and the order in which they are painted."""

import numpy as np
from views import canvas

from regseg.streets.cast import GUESTS, Cast, sample_guests


def test_guests_come_as_often_as_their_chances_say():
    rng = np.random.default_rng(0)
    drawn = [sample_guests(rng) for _ in range(2000)]
    for kind, chance in GUESTS.items():
        assert abs(np.mean([kind in guests for guests in drawn]) - chance) < 0.04
    assert all(guests == [kind for kind in GUESTS if kind in guests] for guests in drawn)


def test_objects_are_painted_from_far_to_near_and_only_in_view():
    order = []
    cast = Cast(canvas(), np.random.default_rng(0), end=50.0)
    for x, z in ((0.5, 10.0), (0.5, 30.0), (0.5, 20.0), (0.5, 60.0), (300.0, 15.0)):
        cast.add(lambda canvas, rng, x, z: order.append((x, z)), x, z)
    cast.draw()
    assert order == [(0.5, 30.0), (0.5, 20.0), (0.5, 10.0)]  # one is beyond the end, one outside the picture
