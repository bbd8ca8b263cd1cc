"""The objects on the street: traffic, parked cars, people, and street furniture along the kerbs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from regseg.streets.boxes import draw_bus, draw_train, draw_truck
from regseg.streets.canvas import Canvas
from regseg.streets.furniture import (
    draw_bin,
    draw_bollards,
    draw_lamp,
    draw_mast,
    draw_sign,
    draw_traffic_light,
    draw_tree,
)
from regseg.streets.layout import LANE, Layout, tram_lanes
from regseg.streets.people import draw_person
from regseg.streets.two_wheelers import draw_two_wheeler
from regseg.streets.vehicles import Pose, draw_car

FAR = 90.0  # metres; only the skyline is farther

# Probability that a scene gets at least one object of a rare kind, in addition to those in the traffic.
GUESTS = {"truck": 0.23, "bus": 0.22, "train": 0.18, "motorcycle": 0.32, "cyclist": 0.25, "bicycle": 0.2}


def sample_guests(rng: np.random.Generator) -> list[str]:
    """Sample the rare kinds that a scene gets; they are returned in a fixed order."""
    return [kind for kind, chance in GUESTS.items() if rng.random() < chance]


class Cast:
    """The objects along the street, which are painted from far to near.

    Args:
        canvas: the canvas.
        rng: the random stream of the objects.
        end: distance beyond which nothing is visible, in metres.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator, end: float) -> None:
        self.canvas, self.rng = canvas, rng
        self.end = end
        self.parts: list[tuple[float, Callable[[], None]]] = []

    def add_frontage(self, far: float, draw: Callable[..., None], *more: Any) -> None:
        """Add an object along the side of the street up to `far` metres; it is painted before all nearer objects."""
        self.parts.append((far, partial(draw, self.canvas, self.rng, *more)))

    def add(self, draw: Callable[..., None], x: float, z: float, *more: Any, reach: float = 1.5) -> None:
        """Add an object at x, z that extends `reach` metres to both sides, unless it is out of view."""
        if z < self.end and self.canvas.camera.sees(x, z, reach):
            self.parts.append((z, partial(draw, self.canvas, self.rng, x, z, *more)))

    def add_vehicle(self, kind: str, x: float, near: float, heading: float, length: float = 0.0) -> None:
        """Add a vehicle whose near end is `near` metres ahead; `length` is its extent along z, in metres."""
        if near < self.end and self.canvas.camera.sees(x, near, 7.0):
            pose = Pose(x, near + length / 2, heading)
            self.parts.append((near, partial(DRAW[kind], self.canvas, self.rng, pose)))

    def draw(self) -> None:
        """Paint all objects from far to near."""
        for _, draw in sorted(self.parts, key=lambda part: -part[0]):
            draw()


LENGTHS = {"car": 4.5, "truck": 8.0, "bus": 12.0, "train": 11.0}
DRAW = {"car": draw_car, "truck": draw_truck, "bus": draw_bus, "train": draw_train}


def add_traffic(cast: Cast, rng: np.random.Generator, layout: Layout, guests: list[str]) -> None:
    """Add vehicles lane by lane; each rare kind gets the first place in a lane."""
    lanes = [sign * x for sign in (-1, 1) for x in np.arange(LANE / 2, max(layout.half_road - 1.2, 2), LANE)]
    waiting = [kind for kind in guests if kind in LENGTHS]
    rng.shuffle(lanes)
    rng.shuffle(waiting)
    busy = rng.uniform(12, 60)
    for number, lane in enumerate(lanes):
        rest = len(lanes) - number - 1
        first = waiting.pop() if waiting and (len(waiting) > rest or rng.random() < 0.6) else None
        if first == "train":
            left, right = tram_lanes()
            lane = left if abs(left - lane) <= abs(right - lane) else right
        z = rng.uniform(5, 14) if first else rng.uniform(5, 45)
        while z < 52:
            kind = first or ("car" if rng.random() < 0.97 else rng.choice(["truck", "bus"]))
            long = LENGTHS[kind]
            heading = 0.0 if lane > 0 else np.pi
            if kind == "train":  # on its rails, with up to two more cars behind
                cast.add_vehicle(kind, lane, z, heading, long)
                z += 2 * long
            else:
                cast.add_vehicle(kind, lane + rng.uniform(-0.3, 0.3), z, heading + rng.normal(0, 0.03), long)
            z += long + 3 + rng.exponential(busy)
            first = None


def add_parked(cast: Cast, rng: np.random.Generator, layout: Layout) -> None:
    """Add parked cars along the kerbs."""
    camera = cast.canvas.camera
    for side in layout.sides:
        if not side.parking:
            continue
        x, z, gap = side.sign * (layout.half_road - 1.1), rng.uniform(2.5, 10), rng.uniform(0.8, 6)
        while z < 42:
            blocked = layout.crossing and layout.crossing[0] - 8 < z < layout.crossing[1] + 2
            if not blocked and (abs(x - camera.x) > 2.0 or z > 7):
                heading = (0.0 if side.sign > 0 else np.pi) + rng.normal(0, 0.04)
                kind = "truck" if rng.random() < 0.02 else "car"
                cast.add_vehicle(kind, x + rng.normal(0, 0.1), z, heading, LENGTHS[kind])
            z += 5.2 + rng.exponential(gap)


def add_crossing_traffic(cast: Cast, rng: np.random.Generator, layout: Layout) -> None:
    """Add vehicles on the crossing road, seen from the side."""
    if not layout.crossing:
        return
    camera, (low, high) = cast.canvas.camera, layout.crossing
    for z, heading in ((low + 0.3 * (high - low), np.pi / 2), (low + 0.75 * (high - low), -np.pi / 2)):
        for _ in range(rng.integers(0, 3)):
            kind = rng.choice(["car", "truck", "bus"], p=[0.86, 0.07, 0.07])
            middle = camera.x - camera.bend * z * z / 2
            cast.add_vehicle(kind, middle + rng.uniform(-0.8, 0.8) * z, z, heading)


def add_two_wheelers(cast: Cast, rng: np.random.Generator, layout: Layout, guests: list[str]) -> None:
    """Add the bicycles, cyclists and motorcycles among the rare kinds."""
    for kind in ("cyclist", "bicycle", "motorcycle"):
        for _ in range(int(rng.integers(1, 4)) if kind in guests else 0):
            motor = kind == "motorcycle"
            ridden = kind == "cyclist" or (motor and rng.random() < 0.6)
            for _ in range(5):  # until one is in view
                side, z = layout.sides[rng.integers(2)], rng.uniform(4, 10)
                offset = layout.half_road + rng.uniform(-0.6, max(side.sidewalk - 0.5, 0.3))
                x = rng.uniform(-1, 1) * layout.half_road if ridden else side.sign * offset
                if cast.canvas.camera.sees(x, z, -0.5 - 0.1 * z):
                    break
            cast.add(draw_two_wheeler, x, z, motor, ridden, bool(rng.random() < 0.55))


def add_persons(cast: Cast, rng: np.random.Generator, layout: Layout) -> None:
    """Add pedestrians on the sidewalks, and sometimes on the road."""
    for side in layout.sides:
        if side.sidewalk == 0:
            continue
        for _ in range(rng.poisson(rng.choice([0.5, 2.0, 5.0]))):
            x = side.sign * (layout.half_road + side.verge + rng.uniform(0.3, side.sidewalk))
            cast.add(draw_person, x, 4 + rng.exponential(7))
    if rng.random() < 0.3:  # crossing the road
        z = layout.crossing[0] - 2 if layout.crossing else rng.uniform(6, 25)
        for _ in range(rng.integers(1, 5)):
            cast.add(draw_person, rng.uniform(-1, 1) * layout.half_road, z + rng.uniform(-1, 1))


def add_furniture(cast: Cast, rng: np.random.Generator, layout: Layout) -> None:
    """Add poles, signs, traffic lights, trees and bins along the kerbs."""
    for side in layout.sides:
        kerb, out = side.sign * (layout.half_road + 0.5), side.sign
        tree_every, pole_every = rng.choice([7.0, 11.0, 400.0], p=[0.16, 0.24, 0.6]), rng.uniform(9, 30)
        mast = draw_mast if rng.random() < 0.5 else draw_lamp
        for z in np.arange(rng.uniform(4, 4 + tree_every), 55, tree_every):
            cast.add(draw_tree, kerb + out * rng.uniform(0, 0.8), z, reach=4.0)
        for z in np.arange(rng.uniform(5, 5 + pole_every), 45, pole_every):
            cast.add(mast, kerb, z, -out, reach=3.0)
        for _ in range(rng.poisson(1.4)):
            cast.add(draw_sign, kerb + rng.uniform(-0.2, 0.3), rng.uniform(5, 20))
        if rng.random() < 0.12:
            cast.add(draw_bollards, kerb, rng.uniform(4, 20))
        if rng.random() < 0.2:
            cast.add(draw_bin, kerb + out * rng.uniform(0.3, 1), rng.uniform(4, 25))
        if rng.random() < (0.7 if layout.crossing else 0.15):
            z = layout.crossing[0] - 1 if layout.crossing else rng.uniform(6, 20)
            cast.add(draw_traffic_light, kerb, z, -out, reach=5.0)
