"""The layout of a street: its width, its sides, and a crossing road."""

from dataclasses import dataclass

import numpy as np

from regseg.streets.canvas import Light
from regseg.streets.ground import Ground, Strip, road_colour, sidewalk_colour, terrain_strip
from regseg.streets.labels import ROAD, SIDEWALK

LANE = 3.3  # metres


@dataclass(frozen=True)
class Side:
    """One side of the road, from the kerb outwards. Widths are in metres.

    Attributes:
        sign: 1 for the right side, -1 for the left.
        verge: width of the grass between road and sidewalk.
        sidewalk: width of the sidewalk.
        garden: width of the grass between sidewalk and frontage.
        frontage: "buildings", "wall", "fence", "hedge", "trees" or "open".
        parking: whether cars are parked along the kerb.
    """

    sign: int
    verge: float
    sidewalk: float
    garden: float
    frontage: str
    parking: bool


@dataclass(frozen=True)
class Layout:
    """The layout of a street. Lengths are in metres.

    Attributes:
        half_road: half the width of the road.
        sides: the left and the right side.
        crossing: z range of a crossing road.
        ends: whether the street ends at the crossing.
        tram: whether there are tram tracks.
    """

    half_road: float
    sides: tuple[Side, Side]
    crossing: tuple[float, float] | None
    ends: bool
    tram: bool

    def frontage_at(self, side: Side) -> float:
        """Return the distance of the frontage from the centre line."""
        return self.half_road + side.verge + side.sidewalk + side.garden

    def camera_range(self, off_road: bool) -> tuple[float, float]:
        """Return the x range of the camera; with `off_road` it includes the sidewalks."""
        out = [min(self.half_road + 2.5, self.frontage_at(side) - 1.2) for side in self.sides]
        left, right = out if off_road else (self.half_road - 1.2,) * 2
        return -left, right


def sample_layout(rng: np.random.Generator, tram: bool) -> Layout:
    """Sample the layout of a street; with a tram, the road is wide enough for its tracks."""
    built_up = rng.random()
    crossing = None
    if rng.random() < 0.4:
        start = rng.uniform(9, 32)
        crossing = (start, start + rng.uniform(6, 13))
    ends = crossing is not None and rng.random() < 0.4
    sides = (_sample_side(rng, -1, built_up), _sample_side(rng, 1, built_up))
    return Layout(max(rng.uniform(2.8, 8.5), 4.5 * tram), sides, crossing, ends, tram)


def _sample_side(rng: np.random.Generator, sign: int, built_up: float) -> Side:
    if built_up > 0.35:
        frontage = rng.choice(["buildings", "wall", "fence", "hedge", "trees"], p=[0.62, 0.15, 0.1, 0.06, 0.07])
    else:
        frontage = rng.choice(
            ["buildings", "wall", "fence", "hedge", "trees", "open"], p=[0.2, 0.13, 0.2, 0.12, 0.2, 0.15]
        )
    rural = built_up < 0.35
    return Side(
        sign=sign,
        verge=rng.uniform(0.8, 3) if rng.random() < (0.45 if rural else 0.15) else 0.0,
        sidewalk=rng.uniform(2.0, 6.0) if rng.random() < (0.55 if rural else 0.93) else 0.0,
        garden=rng.uniform(1.5, 7) if rng.random() < (0.8 if rural else 0.2) else 0.0,
        frontage=str(frontage),
        parking=bool(rng.random() < 0.4),
    )


def sample_ground(rng: np.random.Generator, layout: Layout, light: Light) -> Ground:
    """Sample the strips, markings and shadows of a layout."""
    half = layout.half_road
    asphalt, pavement, grass = road_colour(rng), sidewalk_colour(rng), terrain_strip(rng, 0)
    slab, kerb = rng.uniform(0.6, 1.6), np.full(3, rng.uniform(110, 205))
    road = Strip(-half, ROAD, asphalt, rng.uniform(0.08, 0.22))
    strips = [road]
    for side in layout.sides:
        out = half
        pieces: list[tuple[float, float, int, np.ndarray, float, float]] = []
        bands = [("grass", side.verge), ("walk", side.sidewalk), ("grass", side.garden)]
        for kind, wide in (band for band in bands if band[1] > 0):
            if kind == "walk":
                pieces += [
                    (out, 0.18, SIDEWALK, kerb, 0.05, 0.0),
                    (out + 0.18, wide - 0.18, SIDEWALK, pavement, 0.12, slab),
                ]
            else:
                pieces.append((out, wide, grass.label, grass.colour, grass.grain, 0.0))
            out += wide
        pieces.append((out, 500.0, grass.label, grass.colour, grass.grain, 0.0))
        for start, wide, label, colour, grain, joint in pieces:
            left = start if side.sign > 0 else -(start + wide)
            strips.append(Strip(left, label, colour, grain, joint))
    shade = None
    if light.direction[1] < 0.8 and rng.random() < 0.7:
        sign = 1 if light.direction[0] > 0 else -1
        shade = (sign * (half - rng.uniform(-1, 1.5 * half)), sign)
    return Ground(
        strips=sorted(strips, key=lambda strip: strip.start),
        crossing=layout.crossing,
        walks=_sample_walks(rng, layout),
        lines=_sample_lines(rng, layout),
        rails=[x + gauge for x in tram_lanes() for gauge in (-0.72, 0.72)] if layout.tram else [],
        patches=[_sample_patch(rng, half) for _ in range(rng.integers(0, 4))],
        road=(-half, half),
        shade=shade,
        paint=rng.uniform(165, 235),
    )


def _sample_patch(rng: np.random.Generator, half: float) -> tuple[float, float, float, float]:
    x, z = rng.uniform(-half, half - 1), rng.uniform(3, 25)
    return x, min(x + rng.uniform(0.5, 2.5), half), z, z + rng.uniform(1, 8)


def _sample_walks(rng: np.random.Generator, layout: Layout) -> list[tuple[float, float]]:
    if layout.crossing and rng.random() < 0.6:
        return [(layout.crossing[0] - 4, layout.crossing[0] - 0.8)]
    if rng.random() < 0.15:
        start = rng.uniform(5, 18)
        return [(start, start + 3)]
    return []


def _sample_lines(rng: np.random.Generator, layout: Layout) -> list[tuple[float, float, float]]:
    if rng.random() < 0.2:
        return []
    lines = [(0.0, 0.14, rng.choice([0.0, 3.0, 4.0]))]
    lines += [(x, 0.13, 3.0) for x in np.arange(LANE, layout.half_road - 2, LANE)]
    lines += [(-x, 0.13, 3.0) for x in np.arange(LANE, layout.half_road - 2, LANE)]
    if rng.random() < 0.4:
        lines += [(sign * (layout.half_road - 0.35), 0.12, 0.0) for sign in (-1, 1)]
    if rng.random() < 0.3:
        lines.append((layout.half_road - 2.1, 0.12, 0.0))
    return lines


def tram_lanes() -> list[float]:
    """Return the x of the middle of each tram track, in metres."""
    return [-LANE / 2, LANE / 2]
