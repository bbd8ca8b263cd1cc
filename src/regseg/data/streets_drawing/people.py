"""Persons on foot, and bicycles and motorcycles with and without riders: flat figures made of limbs."""

import numpy as np

from regseg.data.streets_drawing.canvas import uniform_colour
from regseg.data.streets_drawing.labels import BICYCLE, MOTORCYCLE, PERSON, RIDER

ROUND = np.linspace(0, 2 * np.pi, 12, endpoint=False)


def limb(start, end, thick_start, thick_end):
    """A tapered bar between two points, corners (4, 2)."""
    start, end = np.array(start, float), np.array(end, float)
    along = (end - start) / max(np.hypot(*(end - start)), 1e-6)
    across = np.array([-along[1], along[0]]) / 2
    return np.array([start + across * thick_start, end + across * thick_end, end - across * thick_end, start - across * thick_start])


def ellipse(x, y, half_width, half_height):
    return np.column_stack([x + half_width * np.cos(ROUND), y + half_height * np.sin(ROUND)])


def clothes_colour(rng):
    kinds = [(35, 35, 42), (45, 60, 100), (120, 118, 115), (200, 198, 190), (150, 40, 45), (60, 85, 60), (170, 130, 60)]
    return np.clip(np.array(kinds[rng.integers(len(kinds))]) + rng.uniform(-25, 25, 3), 10, 245)


def skin_colour(rng):
    return np.array([225.0, 180, 150]) * rng.uniform(0.4, 1.0)


def hair_colour(rng):
    return uniform_colour(rng, (20, 15, 12), (60, 42, 30)) * rng.choice([1.0, 1.0, 3.0])


def draw_contact_shadow(canvas, x, z, half_width):
    points = np.column_stack([x + half_width * np.cos(ROUND), np.zeros(12), z + 0.2 * np.sin(ROUND)])
    canvas.shadow(points, 0.4)


def draw_person(canvas, rng, x, z):
    tall = rng.uniform(1.55, 1.95) if rng.random() < 0.85 else rng.uniform(1.0, 1.4)
    stride, swing = rng.uniform(0, 0.32), rng.uniform(-0.2, 0.2)
    top, trousers, skin = clothes_colour(rng), clothes_colour(rng), skin_colour(rng)
    knee = 0.27
    parts = []
    for sign in (-1, 1):
        hip, foot = (sign * 0.05, 0.52), (sign * (stride * 0.55 + 0.04), 0.0)
        joint = (sign * (stride * 0.38 + 0.04) + 0.02, knee)
        parts += [(limb(hip, joint, 0.11, 0.085), trousers * (0.9 + 0.1 * sign)), (limb(joint, foot, 0.085, 0.06), trousers)]
        parts.append((limb((foot[0] - 0.03, 0.02), (foot[0] + 0.09, 0.02), 0.04, 0.04), np.full(3, 35.0)))
    if rng.random() < 0.25:  # a coat or a skirt
        parts.append((np.array([(-0.1, 0.6), (0.1, 0.6), (0.14, 0.3), (-0.14, 0.3)]), top * 0.9))
    parts.append((limb((-0.1, 0.78), (-0.15 - swing, 0.47), 0.075, 0.05), top * 0.8))
    parts.append((np.array([(-0.13, 0.8), (-0.05, 0.84), (0.05, 0.84), (0.13, 0.8), (0.1, 0.48), (-0.1, 0.48)]), top))
    parts.append((limb((0.11, 0.78), (0.15 + swing, 0.47), 0.075, 0.05), top * 1.1))
    for hand in (-0.15 - swing, 0.15 + swing):
        parts.append((ellipse(hand, 0.45, 0.025, 0.03), skin))
    if rng.random() < 0.25:
        bag = rng.choice([-1, 1]) * 0.17
        parts.append((np.array([(bag - 0.06, 0.5), (bag + 0.06, 0.5), (bag + 0.07, 0.32), (bag - 0.07, 0.32)]), clothes_colour(rng)))
    parts += _head(rng, 0.0, 0.91, 0.052, skin)
    mirror = np.array([rng.choice([-1, 1]) * tall, tall])
    draw_contact_shadow(canvas, x, z, 0.35)
    canvas.cutouts(x, z, [(corners * mirror, colour) for corners, colour in parts], PERSON)


def _head(rng, x, y, size, skin):
    hair = ellipse(x, y + size * 0.3, size * 1.05, size * 1.15)
    return [(limb((x, y - 1.6 * size), (x, y), size, size), skin * 0.85), (hair, hair_colour(rng)), (ellipse(x, y - size * 0.1, size * 0.85, size * 1.1), skin)]


def _helmet(x, y, size, colour):
    return (ellipse(x, y + size * 0.35, size * 1.15, size * 1.0), colour)


def _rider(rng, hip, shoulder, head, knee, foot, hand, helmet):
    """A rider seen from the side, in metres."""
    top, trousers, skin = clothes_colour(rng), clothes_colour(rng), skin_colour(rng)
    parts = [(limb(hip, knee, 0.2, 0.15), trousers), (limb(knee, foot, 0.15, 0.1), trousers * 0.9)]
    parts += [(limb(foot, (foot[0] + 0.2, foot[1]), 0.09, 0.07), np.full(3, 35.0))]
    parts += [(limb(hip, shoulder, 0.3, 0.38), top), (limb(shoulder, hand, 0.15, 0.1), top * 0.85)]
    parts += _head(rng, *head, 0.12, skin)
    return [*parts, _helmet(*head, 0.13, clothes_colour(rng))] if helmet else parts


def _rider_ahead(rng, seat, high, reach, helmet):
    """A rider seen from the front or from behind."""
    top, trousers, skin = clothes_colour(rng), clothes_colour(rng), skin_colour(rng)
    parts = []
    for sign in (-1, 1):
        knee, foot = (sign * 0.17, seat * 0.72), (sign * 0.13, seat * rng.uniform(0.25, 0.4))
        parts += [(limb((sign * 0.1, seat), knee, 0.18, 0.14), trousers), (limb(knee, foot, 0.14, 0.1), trousers * 0.9)]
        parts.append((limb((sign * 0.2, high - 0.08), (sign * reach, seat + 0.1), 0.13, 0.09), top * 0.85))
    shoulders = [(-0.22, high - 0.05), (-0.1, high + 0.03), (0.1, high + 0.03), (0.22, high - 0.05)]
    parts.append((np.array([*shoulders, (0.17, seat - 0.05), (-0.17, seat - 0.05)]), top))
    parts += _head(rng, 0.0, high + 0.17, 0.12, skin)
    return [*parts, _helmet(0.0, high + 0.17, 0.13, clothes_colour(rng))] if helmet else parts


def _wheel(x, radius):
    """A wheel one looks through; the label covers it whole, as the annotators of Cityscapes do."""
    outer, inner = ellipse(x, radius, radius, radius), ellipse(x, radius, 0.82 * radius, 0.82 * radius)
    ring = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
    return [(outer, None), (ring, np.full(3, 30.0)), (limb((x, 0.05), (x, 2 * radius), 0.02, 0.02), np.full(3, 90.0))]


def _bicycle_side(rng):
    frame = clothes_colour(rng)
    parts = [*_wheel(-0.52, 0.34), *_wheel(0.52, 0.34)]
    crank, saddle, head, rear, front = (-0.05, 0.32), (-0.17, 0.88), (0.36, 0.86), (-0.52, 0.34), (0.52, 0.34)
    for start, end in ((rear, crank), (crank, saddle), (saddle, head), (crank, head), (rear, saddle), (head, front)):
        parts.append((limb(start, end, 0.07, 0.07), frame))
    parts += [(limb((-0.3, 0.94), (-0.05, 0.94), 0.08, 0.05), np.full(3, 25.0))]
    return [*parts, (limb(head, (0.42, 1.06), 0.06, 0.06), frame), (limb((0.3, 1.06), (0.5, 1.04), 0.06, 0.06), np.full(3, 30.0))]


def _bicycle_ahead(rng):
    frame = clothes_colour(rng)
    parts = [(ellipse(0, 0.34, 0.06, 0.34), np.full(3, 28.0)), (limb((0, 0.4), (0, 1.0), 0.09, 0.09), frame)]
    parts += [(limb((-0.3, 1.03), (0.3, 1.03), 0.07, 0.07), np.full(3, 35.0)), (limb((-0.14, 0.3), (0.14, 0.3), 0.07, 0.07), frame)]
    return [*parts, (ellipse(0, 0.85, 0.09, 0.07), np.full(3, 25.0))]


def _motorcycle_side(rng):
    paint = uniform_colour(rng, 20, 200) if rng.random() < 0.5 else np.array([150.0, 30, 30])
    metal, dark = np.full(3, 130.0), np.full(3, 30.0)
    parts = []
    for x in (-0.68, 0.68):
        parts += [(ellipse(x, 0.33, 0.33, 0.33), dark), (ellipse(x, 0.33, 0.17, 0.17), metal)]
    parts.append((np.array([(-0.45, 0.3), (0.35, 0.3), (0.4, 0.6), (-0.4, 0.6)]), metal * 0.5))
    parts.append((limb((-0.75, 0.36), (0.0, 0.33), 0.12, 0.1), metal))
    parts.append((np.array([(-0.85, 0.78), (-0.3, 0.66), (0.05, 0.7), (0.1, 0.92), (0.45, 0.95), (0.5, 0.6), (-0.5, 0.55)]), paint))
    parts.append((np.array([(-0.75, 0.82), (-0.1, 0.72), (-0.1, 0.82), (-0.7, 0.92)]), dark))
    parts += [(limb((0.42, 0.95), (0.68, 0.33), 0.1, 0.1), metal), (limb((0.25, 1.08), (0.48, 0.98), 0.08, 0.08), dark)]
    return [*parts, (ellipse(0.56, 0.86, 0.1, 0.11), np.array([225.0, 220, 190]))]


def _motorcycle_ahead(rng, rear):
    paint, dark = uniform_colour(rng, 20, 200), np.full(3, 30.0)
    parts = [(ellipse(0, 0.33, 0.12, 0.33), dark), (limb((-0.4, 0.98), (0.4, 0.98), 0.08, 0.08), dark)]
    parts.append((np.array([(-0.22, 0.4), (0.22, 0.4), (0.27, 0.75), (0.16, 1.0), (-0.16, 1.0), (-0.27, 0.75)]), paint))
    lamp = np.array([190.0, 25, 25]) if rear else np.array([235.0, 230, 205])
    return [*parts, (ellipse(0, 0.8, 0.12, 0.08), lamp)]


def draw_two_wheeler(canvas, rng, x, z, motor, ridden, side_view):
    """A bicycle or motorcycle at x, z, and who rides it."""
    rear = rng.random() < 0.5
    label = MOTORCYCLE if motor else BICYCLE
    if side_view:
        parts = _motorcycle_side(rng) if motor else _bicycle_side(rng)
    else:
        parts = _motorcycle_ahead(rng, rear) if motor else _bicycle_ahead(rng)
    squeeze = float(rng.choice([-1, 1])) * (rng.uniform(0.6, 1.0) if side_view else 1.0)
    draw_contact_shadow(canvas, x, z, 0.9 * abs(squeeze) if side_view else 0.35)
    canvas.cutouts(x, z, parts, label, squeeze)
    if not ridden:
        return
    helmet = motor or rng.random() < 0.5
    if not side_view:
        body = _rider_ahead(rng, 0.85, 1.42, 0.36, True) if motor else _rider_ahead(rng, 0.95, 1.5, 0.27, helmet)
    elif motor:
        body = _rider(rng, (-0.25, 0.85), (0.02, 1.38), (0.14, 1.6), (0.2, 0.72), (0.0, 0.3), (0.36, 1.02), True)
    else:
        knee, foot = ((0.14, 0.72), (0.02, 0.22)) if rng.random() < 0.5 else ((0.2, 0.88), (0.1, 0.45))
        body = _rider(rng, (-0.18, 0.98), (0.12, 1.5), (0.22, 1.72), knee, foot, (0.42, 1.08), helmet)
    canvas.cutouts(x, z, body, RIDER, squeeze)
    if canvas.light.night and motor and not rear:
        canvas.glow((x, 0.8, z), 0.6, (235, 230, 205))
