"""Bicycles and motorcycles from the side, front or rear, with or without riders: flat figures, in metres."""

import numpy as np

from regseg.streets.canvas import Canvas, Parts, uniform_colour
from regseg.streets.labels import BICYCLE, MOTORCYCLE, RIDER
from regseg.streets.people import BLACK, clothes_colour, draw_contact_shadow, ellipse, head, limb, skin_colour

METAL = np.full(3, 130.0)
HEADLIGHT, REAR_LIGHT = np.array([235.0, 230, 205]), np.array([190.0, 25, 25])


def draw_two_wheeler(
    canvas: Canvas, rng: np.random.Generator, x: float, z: float, motor: bool, ridden: bool, side_view: bool
) -> None:
    """Paint a bicycle or motorcycle at x, z, and its rider if it is ridden."""
    from_behind = rng.random() < 0.5
    if side_view:
        parts = _motorcycle(rng) if motor else _bicycle(rng)
    else:
        parts = _motorcycle_end(rng, from_behind) if motor else _bicycle_end(rng)
    squeeze = float(rng.choice([-1, 1])) * (rng.uniform(0.6, 1.0) if side_view else 1.0)
    draw_contact_shadow(canvas, x, z, 0.9 * abs(squeeze) if side_view else 0.35)
    canvas.cutouts(x, z, parts, MOTORCYCLE if motor else BICYCLE, squeeze)
    if ridden:
        rider = (_rider if side_view else _rider_end)(rng, motor)
        canvas.cutouts(x, z, rider, RIDER, squeeze)
        if canvas.light.night and motor and not from_behind:
            canvas.glow((x, 0.8, z), 0.5, HEADLIGHT)


def _bicycle_wheel(x: float) -> Parts:
    """Return a transparent wheel; its label covers the whole disc, as in the annotations of Cityscapes."""
    outer, inner = ellipse(x, 0.34, 0.34, 0.34), ellipse(x, 0.34, 0.28, 0.28)
    ring = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
    return [(outer, None), (ring, BLACK), (limb((x, 0.05), (x, 0.66), 0.02, 0.02), METAL)]


def _bicycle(rng: np.random.Generator) -> Parts:
    frame, rear, front = clothes_colour(rng), (-0.52, 0.34), (0.52, 0.34)
    crank, saddle, neck, handlebar = (-0.05, 0.32), (-0.17, 0.88), (0.36, 0.86), (0.42, 1.06)
    tubes = [(rear, crank), (crank, saddle), (saddle, neck), (crank, neck), (rear, saddle), (neck, front)]
    tubes.append((neck, handlebar))
    return [
        *_bicycle_wheel(rear[0]),
        *_bicycle_wheel(front[0]),
        *((limb(start, end, 0.07, 0.07), frame) for start, end in tubes),
        (limb((-0.3, 0.94), (-0.05, 0.94), 0.08, 0.05), BLACK),
        (limb((0.3, 1.06), (0.5, 1.04), 0.06, 0.06), BLACK),
    ]


def _bicycle_end(rng: np.random.Generator) -> Parts:
    frame = clothes_colour(rng)
    return [
        (ellipse(0, 0.34, 0.06, 0.34), BLACK),
        (limb((0, 0.4), (0, 1.0), 0.09, 0.09), frame),
        (limb((-0.3, 1.03), (0.3, 1.03), 0.07, 0.07), BLACK),
        (limb((-0.14, 0.3), (0.14, 0.3), 0.07, 0.07), frame),
        (ellipse(0, 0.85, 0.09, 0.07), BLACK),
    ]


def _motorcycle(rng: np.random.Generator) -> Parts:
    paint = uniform_colour(rng, 20, 200) if rng.random() < 0.5 else np.array([150.0, 30, 30])
    tank = [(-0.85, 0.78), (-0.3, 0.66), (0.05, 0.7), (0.1, 0.92), (0.45, 0.95), (0.5, 0.6), (-0.5, 0.55)]
    seat = [(-0.75, 0.82), (-0.1, 0.72), (-0.1, 0.82), (-0.7, 0.92)]
    return [
        *((ellipse(x, 0.33, 0.33, 0.33), BLACK) for x in (-0.68, 0.68)),
        *((ellipse(x, 0.33, 0.17, 0.17), METAL) for x in (-0.68, 0.68)),
        (np.array([(-0.45, 0.3), (0.35, 0.3), (0.4, 0.6), (-0.4, 0.6)]), METAL * 0.5),  # the engine
        (limb((-0.75, 0.36), (0.0, 0.33), 0.12, 0.1), METAL),  # the exhaust
        (np.array(tank), paint),
        (np.array(seat), BLACK),
        (limb((0.42, 0.95), (0.68, 0.33), 0.1, 0.1), METAL),  # the fork
        (limb((0.25, 1.08), (0.48, 0.98), 0.08, 0.08), BLACK),
        (ellipse(0.56, 0.86, 0.1, 0.11), HEADLIGHT),
    ]


def _motorcycle_end(rng: np.random.Generator, from_behind: bool) -> Parts:
    fairing = [(-0.22, 0.4), (0.22, 0.4), (0.27, 0.75), (0.16, 1.0), (-0.16, 1.0), (-0.27, 0.75)]
    return [
        (ellipse(0, 0.33, 0.12, 0.33), BLACK),
        (limb((-0.4, 0.98), (0.4, 0.98), 0.08, 0.08), BLACK),
        (np.array(fairing), uniform_colour(rng, 20, 200)),
        (ellipse(0, 0.8, 0.12, 0.08), REAR_LIGHT if from_behind else HEADLIGHT),
    ]


def _rider(rng: np.random.Generator, motor: bool) -> Parts:
    """A rider seen from the side."""
    top, trousers, skin = clothes_colour(rng), clothes_colour(rng), skin_colour(rng)
    if motor:
        hip, shoulder, face, hand = (-0.25, 0.85), (0.02, 1.38), (0.14, 1.6), (0.36, 1.02)
        knee, foot = (0.2, 0.72), (0.0, 0.3)
    else:
        hip, shoulder, face, hand = (-0.18, 0.98), (0.12, 1.5), (0.22, 1.72), (0.42, 1.08)
        knee, foot = ((0.14, 0.72), (0.02, 0.22)) if rng.random() < 0.5 else ((0.2, 0.88), (0.1, 0.45))
    return [
        (limb(hip, knee, 0.2, 0.15), trousers),
        (limb(knee, foot, 0.15, 0.1), trousers * 0.9),
        (limb(foot, (foot[0] + 0.2, foot[1]), 0.09, 0.07), BLACK),
        (limb(hip, shoulder, 0.3, 0.38), top),
        (limb(shoulder, hand, 0.15, 0.1), top * 0.85),
        *head(rng, *face, 0.12, skin),
        *_helmet(rng, *face, motor),
    ]


def _rider_end(rng: np.random.Generator, motor: bool) -> Parts:
    """Return a rider seen from the front or from behind."""
    top, trousers, skin = clothes_colour(rng), clothes_colour(rng), skin_colour(rng)
    seat, neck, reach = (0.85, 1.42, 0.36) if motor else (0.95, 1.5, 0.27)
    parts = []
    for sign in (-1, 1):
        knee, foot = (sign * 0.17, seat * 0.72), (sign * 0.13, seat * rng.uniform(0.25, 0.4))
        parts.append((limb((sign * 0.1, seat), knee, 0.18, 0.14), trousers))
        parts.append((limb(knee, foot, 0.14, 0.1), trousers * 0.9))
        parts.append((limb((sign * 0.2, neck - 0.08), (sign * reach, seat + 0.1), 0.13, 0.09), top * 0.85))
    shoulders = [(-0.22, neck - 0.05), (-0.1, neck + 0.03), (0.1, neck + 0.03), (0.22, neck - 0.05)]
    parts.append((np.array([*shoulders, (0.17, seat - 0.05), (-0.17, seat - 0.05)]), top))
    return [*parts, *head(rng, 0.0, neck + 0.17, 0.12, skin), *_helmet(rng, 0.0, neck + 0.17, motor)]


def _helmet(rng: np.random.Generator, x: float, y: float, motor: bool) -> Parts:
    """Return a helmet for every motorcyclist and half of the cyclists, else nothing."""
    worn = motor or rng.random() < 0.5
    return [(ellipse(x, y + 0.045, 0.15, 0.13), clothes_colour(rng))] if worn else []
