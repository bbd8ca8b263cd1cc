"""Pedestrians, and the parts that they and riders consist of. All are flat figures that face the camera."""

import math

import numpy as np

from regseg.streets.canvas import Canvas, Parts, uniform_colour
from regseg.streets.labels import PERSON

CIRCLE = np.array([(math.cos(turn), math.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 12, endpoint=False)])

BLACK = np.full(3, 30.0)


def limb(start: tuple[float, float], end: tuple[float, float], thick_start: float, thick_end: float) -> np.ndarray:
    """Return the corners (4, 2) of a tapered bar between two points."""
    (x0, y0), (x1, y1) = start, end
    length = max(math.hypot(x1 - x0, y1 - y0), 1e-6)
    across_x, across_y = (y0 - y1) / length / 2, (x1 - x0) / length / 2
    a, b, c, d = thick_start * across_x, thick_start * across_y, thick_end * across_x, thick_end * across_y
    return np.array([(x0 + a, y0 + b), (x1 + c, y1 + d), (x1 - c, y1 - d), (x0 - a, y0 - b)])


def ellipse(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    """Return an ellipse around x, y as a polygon (12, 2)."""
    return CIRCLE * (half_width, half_height) + (x, y)


def clothes_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of clothes."""
    kinds = [(35, 35, 42), (45, 60, 100), (120, 118, 115), (200, 198, 190), (150, 40, 45), (60, 85, 60), (170, 130, 60)]
    return np.clip(np.array(kinds[rng.integers(len(kinds))]) + rng.uniform(-25, 25, 3), 10, 245)


def skin_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of skin."""
    return np.array([225.0, 180, 150]) * rng.uniform(0.4, 1.0)


def hair_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of hair."""
    return uniform_colour(rng, (20, 15, 12), (60, 42, 30)) * rng.choice([1.0, 1.0, 3.0])


def draw_contact_shadow(canvas: Canvas, x: float, z: float, half_width: float) -> None:
    """Darken the ground below a figure at x, z."""
    points = np.column_stack([x + half_width * CIRCLE[:, 0], np.zeros(len(CIRCLE)), z + 0.2 * CIRCLE[:, 1]])
    canvas.shadow(points, 0.4)


def draw_person(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Paint a pedestrian at x, z."""
    tall = rng.uniform(1.55, 1.95) if rng.random() < 0.85 else rng.uniform(1.0, 1.4)
    parts = [*_legs(rng), *_upper_body(rng)]
    mirror = np.array([rng.choice([-1, 1]) * tall, tall])
    draw_contact_shadow(canvas, x, z, 0.35)
    canvas.cutouts(x, z, [(corners * mirror, colour) for corners, colour in parts], PERSON)


def _legs(rng: np.random.Generator) -> Parts:
    """Return two legs and shoes, as fractions of the person's height."""
    stride, trousers = rng.uniform(0, 0.32), clothes_colour(rng)
    parts: Parts = []
    for sign in (-1, 1):
        knee, foot = (sign * (stride * 0.38 + 0.04) + 0.02, 0.27), sign * (stride * 0.55 + 0.04)
        parts.append((limb((sign * 0.05, 0.52), knee, 0.11, 0.085), trousers * (0.9 + 0.1 * sign)))
        parts.append((limb(knee, (foot, 0.0), 0.085, 0.06), trousers))
        parts.append((limb((foot - 0.03, 0.02), (foot + 0.09, 0.02), 0.04, 0.04), BLACK))
    return parts


def _upper_body(rng: np.random.Generator) -> Parts:
    """Return trunk, arms and head, sometimes with a coat or a bag, as fractions of the person's height."""
    top, skin, swing = clothes_colour(rng), skin_colour(rng), rng.uniform(-0.2, 0.2)
    parts: Parts = []
    if rng.random() < 0.25:
        parts.append((np.array([(-0.1, 0.6), (0.1, 0.6), (0.14, 0.3), (-0.14, 0.3)]), top * 0.9))
    trunk = np.array([(-0.13, 0.8), (-0.05, 0.84), (0.05, 0.84), (0.13, 0.8), (0.1, 0.48), (-0.1, 0.48)])
    parts.append((limb((-0.1, 0.78), (-0.15 - swing, 0.47), 0.075, 0.05), top * 0.8))
    parts.append((trunk, top))
    parts.append((limb((0.11, 0.78), (0.15 + swing, 0.47), 0.075, 0.05), top * 1.1))
    parts += [(ellipse(hand, 0.45, 0.025, 0.03), skin) for hand in (-0.15 - swing, 0.15 + swing)]
    if rng.random() < 0.25:
        bag = rng.choice([-1, 1]) * 0.17
        parts.append((limb((bag, 0.5), (bag, 0.32), 0.12, 0.14), clothes_colour(rng)))
    return parts + head(rng, 0.0, 0.91, 0.052, skin)


def head(rng: np.random.Generator, x: float, y: float, size: float, skin: np.ndarray) -> Parts:
    """Return neck, hair and face around x, y; `size` is half the width of the face."""
    hair = ellipse(x, y + size * 0.3, size * 1.05, size * 1.15)
    return [
        (limb((x, y - 1.6 * size), (x, y), size, size), skin * 0.85),
        (hair, hair_colour(rng)),
        (ellipse(x, y - size * 0.1, size * 0.85, size * 1.1), skin),
    ]
