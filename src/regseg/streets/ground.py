"""The ground: strips along the road, a crossing, markings, rails, shadows and grain, computed per pixel."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike

from regseg.streets.canvas import GRAIN_SIZE, Canvas, uniform_colour
from regseg.streets.labels import ROAD, SIDEWALK, TERRAIN

UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True)
class Strip:
    """A strip of ground along the road, which ends where the next strip starts.

    Attributes:
        start: left edge, in metres right of the centre line.
        label: label ID.
        colour: (3,) RGB.
        grain: strength of the noise, as a fraction of the colour.
        slab: distance between joints, in metres; 0 for no joints.
    """

    start: float
    label: int
    colour: np.ndarray
    grain: float
    slab: float = 0.0


@dataclass
class Ground:
    """Everything on the ground. Lengths and positions are in metres.

    Attributes:
        strips: from left to right; the first starts at -inf.
        crossing: z range of a crossing road.
        walks: z range of each zebra crossing.
        lines: x, width and dash length (0 for solid) of each line.
        rails: x of each rail.
        patches: (x0, x1, z0, z1) of repaired asphalt.
        road: x range of the road.
        shade: x where the shadow of buildings starts, and its side (1 for the right).
        paint: brightness of the markings, 0 to 255.
    """

    strips: list[Strip]
    crossing: tuple[float, float] | None = None
    walks: list[tuple[float, float]] = field(default_factory=list)
    lines: list[tuple[float, float, float]] = field(default_factory=list)
    rails: list[float] = field(default_factory=list)
    patches: list[tuple[float, float, float, float]] = field(default_factory=list)
    road: tuple[float, float] = (-4.0, 4.0)
    shade: tuple[float, float] | None = None
    paint: float = 220.0


def road_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random grey of asphalt."""
    return rng.uniform(55, 145) * rng.uniform(0.94, 1.06, 3)


def sidewalk_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of a sidewalk."""
    if rng.random() < 0.3:
        return uniform_colour(rng, (130, 90, 70), (185, 125, 105))  # red brick
    return rng.uniform(85, 190) * rng.uniform(0.94, 1.06, 3)


def terrain_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of grass, sometimes dry."""
    if rng.random() < 0.3:
        return uniform_colour(rng, (120, 100, 60), (165, 140, 95))  # dry
    return uniform_colour(rng, (60, 90, 35), (110, 145, 60))


def spot_table(rng: np.random.Generator) -> np.ndarray:
    """Return a table (GRAIN_SIZE, GRAIN_SIZE) float32 of soft spots of two sizes, with mean 0."""
    spots = np.zeros((GRAIN_SIZE, GRAIN_SIZE), np.float32)
    for cells in (8, 32):
        coarse = rng.standard_normal((cells, cells), dtype=np.float32)
        spots += cv2.resize(coarse, (GRAIN_SIZE, GRAIN_SIZE), interpolation=cv2.INTER_CUBIC)
    return spots / 2


def _phase(x: np.ndarray, period: float | np.ndarray) -> np.ndarray:
    """Return the phase of x in its period, 0 to 1."""
    turns = x * (1 / period)
    return turns - np.floor(turns)


def _look_up(table: np.ndarray, x: np.ndarray, z: np.ndarray, per_metre: float) -> np.ndarray:
    rows = (z * per_metre).astype(np.int32) & (GRAIN_SIZE - 1)
    return table[rows, (x * per_metre).astype(np.int32) & (GRAIN_SIZE - 1)]


def _within(x: np.ndarray, low: float, high: float, footprint: np.ndarray) -> np.ndarray:
    """Return the fraction of each pixel between low and high; `footprint` is the size of a pixel in metres."""
    return np.clip((x - low) / footprint + 0.5, 0, 1) * np.clip((high - x) / footprint + 0.5, 0, 1)


def paint_ground(canvas: Canvas, rng: np.random.Generator, ground: Ground) -> None:
    """Paint everything below the horizon."""
    camera, light = canvas.camera, canvas.light
    x, z = camera.ground()
    below = np.flatnonzero((z < 5e3).any(1))
    if not len(below):
        return
    rows = slice(below[0], None)
    x, z = x[rows], z[rows]
    across = z / camera.focal  # width of a pixel on the ground, in metres
    along = z * across / camera.y  # length of a pixel on the ground, in metres
    colour, labels, grain = _paint_strips(ground, x, z, across, along)
    colour = _paint_markings(ground, colour, x, z, across, along)
    fine, spots = _look_up(canvas.noise, x, z, 22), _look_up(spot_table(rng), x, z, 5)
    colour *= 1 + grain * (0.45 / (1 + 6 * across) * fine + 0.8 * spots)
    sunny = 1 - _shade(ground, rng, x, z, across)
    colour *= planes(light.ambient) + sunny * planes(light.factor(UP) - light.ambient)
    colour += light.haziness(z).astype(np.float32) * (planes(light.haze) - colour)
    seen = z < 5e3
    canvas.image[rows][seen] = cv2.merge(list(np.clip(colour, 0, 255).astype(np.uint8)))[seen]
    canvas.labels[rows][seen] = labels[seen]


def planes(colour: ArrayLike) -> np.ndarray:
    """Reshape three values to (3, 1, 1) float32, to be broadcast over (3, h, w)."""
    return np.asarray(colour, np.float32)[:, None, None]


def _paint_strips(
    ground: Ground, x: np.ndarray, z: np.ndarray, across: np.ndarray, along: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return colours (3, h, w), labels (h, w) and grain (h, w) of the strips and the crossing road."""
    strips = ground.strips
    colour = np.broadcast_to(planes(strips[0].colour), (3, *x.shape)).copy()
    for strip in strips[1:]:
        colour += np.clip((x - strip.start) / across + 0.5, 0, 1) * (planes(strip.colour) - colour)
    index = np.searchsorted([strip.start for strip in strips[1:]], x, side="right")
    labels = np.array([strip.label for strip in strips], np.uint8)[index]
    grain = np.array([strip.grain for strip in strips], np.float32)[index]
    slab = np.array([strip.slab for strip in strips], np.float32)[index]
    size = np.maximum(slab, 0.1)
    joint = (slab > 0) & ((_phase(x, size) < 0.08) | (_phase(z, size) < 0.08))
    colour *= 1 - joint * np.clip(0.6 - 6 * across, 0, 0.4)
    if ground.crossing:
        low, high = ground.crossing
        road = next(strip for strip in strips if strip.label == ROAD)
        colour += _within(z, low, high, along) * (planes(road.colour) - colour)
        crossed = (z > low) & (z < high)
        labels[crossed], grain[crossed] = ROAD, road.grain
        pavement = next((strip for strip in strips if strip.label == SIDEWALK), None)
        if pavement is not None:  # the sidewalk continues around the corner
            turn = ((z > low - 2.5) & (z <= low) | (z >= high) & (z < high + 2.5)) & (labels != ROAD)
            colour[:, turn], labels[turn] = pavement.colour[:, None], SIDEWALK
    return colour, labels, grain


def _paint_markings(
    ground: Ground, colour: np.ndarray, x: np.ndarray, z: np.ndarray, across: np.ndarray, along: np.ndarray
) -> np.ndarray:
    open_road = np.ones_like(x)
    if ground.crossing:
        open_road = 1 - _within(z, *ground.crossing, along)
    left, right = ground.road
    for x0, x1, z0, z1 in ground.patches:
        colour *= 1 - 0.25 * _within(x, x0, x1, across) * _within(z, z0, z1, along)
    paint = np.zeros_like(x)
    for line, width, dash in ground.lines:
        cover = _within(x, line - width / 2, line + width / 2, across)
        paint = np.maximum(paint, cover * (_phase(z, 2 * dash) < 0.5 if dash else 1))
    paint *= open_road
    for low, high in ground.walks:
        stripes = np.clip((0.5 - np.abs(_phase(x, 1.0) - 0.5) - 0.25) / across + 0.5, 0, 1)
        inside = _within(x, left + 0.3, right - 0.3, across)
        paint *= 1 - _within(z, low - 0.5, high + 0.5, along)  # no lines between the stripes
        paint = np.maximum(paint, stripes * inside * _within(z, low, high, along))
    colour += 0.85 * paint * (ground.paint - colour)
    for rail in ground.rails:
        colour *= 1 - 0.3 * _within(x, rail - 0.15, rail + 0.15, across)
        colour += 0.8 * _within(x, rail - 0.05, rail + 0.05, across) * (185 - colour)
    return colour


def _shade(ground: Ground, rng: np.random.Generator, x: np.ndarray, z: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return the fraction of the sunlight that buildings block (h, w); their outline changes from house to house."""
    if ground.shade is None:
        return np.zeros_like(x)
    start, side = ground.shade
    outline = rng.uniform(-2.5, 2.5, 64).astype(np.float32)[(np.clip(z, 0, 500) / 9).astype(int) % 64]
    return np.clip(side * (x - start - outline) / (across + 0.2) + 0.5, 0, 1)


def terrain_strip(rng: np.random.Generator, start: float) -> Strip:
    """Return a strip of grass that starts at `start` metres."""
    return Strip(start, TERRAIN, terrain_colour(rng), rng.uniform(0.2, 0.4))
