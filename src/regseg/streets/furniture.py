"""Trees, hedges, poles, lamps, signs, traffic lights and bins."""

from collections.abc import Sequence

import cv2
import numpy as np

from regseg.streets.backdrop import foliage_colour
from regseg.streets.canvas import Canvas, Parts, uniform_colour
from regseg.streets.labels import POLE, STATIC, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION
from regseg.streets.people import ellipse, limb


def draw_foliage(
    canvas: Canvas, rng: np.random.Generator, centres: np.ndarray, radii: np.ndarray, colour: np.ndarray
) -> None:
    """Paint overlapping balls of leaves at street coordinates (N, 3) with radii (N,) in metres, and loose leaves."""
    centres, radii = centres[order := np.argsort(-centres[:, 2])], radii[order]
    pixels = canvas.camera.project(centres)
    sizes = canvas.camera.focal * radii / np.maximum(centres[:, 2], 0.8)
    low, high = centres[:, 1].min(), np.ptp(centres[:, 1]) + 0.1
    shades = 0.62 + 0.5 * (centres[:, 1] - low) / high + rng.normal(0, 0.1, len(centres))
    leaves = 6
    reach = np.sqrt(rng.uniform(0, 0.85, (len(centres), leaves))) * sizes[:, None]
    turn = rng.uniform(0, 2 * np.pi, (len(centres), leaves))
    loose = pixels[:, None] + reach[..., None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    tints = canvas.light.tint(colour * shades[:, None], centres[:, 2].mean())
    leaf_tints = (tints[:, None] * rng.uniform(0.65, 1.35, (len(centres), leaves, 1))).clip(0, 255)
    balls = zip(pixels, sizes, tints, loose, leaf_tints, strict=True)
    for (u, v), size, tint, *foliage in balls:
        if size > 400 or not -size < u < canvas.camera.width + size or not -size < v < canvas.camera.height + size:
            continue
        _disc(canvas.image, u, v, max(size, 0.5), tint.tolist(), cv2.LINE_AA)
        _disc(canvas.labels, u, v, max(size, 0.5), VEGETATION, cv2.LINE_8)
        if size > 2.5:
            for (leaf_u, leaf_v), leaf_tint in zip(*(part.tolist() for part in foliage), strict=True):
                _disc(canvas.image, leaf_u, leaf_v, 0.5 + size * 0.13, leaf_tint, cv2.LINE_AA)


def _disc(image: np.ndarray, u: float, v: float, radius: float, colour: Sequence[float] | int, edge: int) -> None:
    cv2.circle(image, (int(16 * u), int(16 * v)), int(16 * radius), colour, -1, edge, 4)


def draw_tree(canvas: Canvas, rng: np.random.Generator, x: float, z: float, high: float | None = None) -> None:
    """Paint a tree; `high` is its height in metres, random by default."""
    high = high or rng.uniform(4, 10)
    bole, wide = high * rng.uniform(0.22, 0.4), high * rng.uniform(0.2, 0.32)
    bark = uniform_colour(rng, (60, 48, 38), (110, 95, 80))
    lean = rng.uniform(-0.3, 0.3)
    thick = rng.uniform(0.25, 0.45)
    canvas.cutouts(x, z, [(limb((0, 0), (lean, bole * 1.5), thick, thick * 0.7), bark)], VEGETATION)
    count = int(np.clip(1.3 * canvas.camera.focal * wide / z, 6, 16))  # fewer for far crowns
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    spread = direction * rng.uniform(0.3, 1, (count, 1)) * (wide, (high - bole) / 2, wide)
    conifer = rng.random() < 0.2
    if conifer:
        spread[:, [0, 2]] *= 0.75 * (1 - spread[:, 1:2] / ((high - bole) / 1.9))
    centres = spread + np.array([x + lean, (high + bole) / 2, z])
    draw_foliage(canvas, rng, centres, wide * rng.uniform(0.3, 0.55, count), foliage_colour(rng))


def draw_hedge(canvas: Canvas, rng: np.random.Generator, x: float, z0: float, z1: float) -> None:
    """Paint a hedge or shrubs along the street at x."""
    high, count = rng.uniform(0.9, 2.4), int((z1 - z0) * 1.2) + 4
    z = rng.uniform(z0, z1, count)
    y = rng.uniform(0.15, 1, count) * high * 0.8
    centres = np.column_stack([x + rng.uniform(-0.3, 0.3, count), y, z])
    draw_foliage(canvas, rng, centres, rng.uniform(0.35, 0.6, count) * min(high, 1.4), foliage_colour(rng))


def pole_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of a pole."""
    return (
        np.array([150.0, 152, 155]) * rng.uniform(0.35, 1.25)
        if rng.random() < 0.75
        else uniform_colour(rng, (55, 75, 60), (100, 90, 75))
    )


def draw_lamp(canvas: Canvas, rng: np.random.Generator, x: float, z: float, inward: float) -> None:
    """Paint a street lamp whose arm extends over the road; `inward` is its direction, -1 left or 1 right."""
    high, reach, colour = rng.uniform(5, 8), inward * rng.uniform(0.8, 2), pole_colour(rng)
    parts = [(limb((0, 0), (0, high), 0.26, 0.18), colour), (limb((0, high), (reach, high + 0.25), 0.13, 0.11), colour)]
    parts.append((limb((reach * 0.8, high + 0.22), (reach * 1.25, high + 0.26), 0.22, 0.18), colour * 0.8))
    canvas.cutouts(x, z, parts, POLE)
    if canvas.light.night:
        canvas.glow((x + reach, high + 0.2, z), 1.6, (255, 205, 130))


def draw_mast(canvas: Canvas, rng: np.random.Generator, x: float, z: float, _inward: float) -> None:
    """Paint a mast."""
    high = rng.uniform(3, 9)
    canvas.cutouts(x, z, [(limb((0, 0), (0, high), rng.uniform(0.2, 0.36), 0.18), pole_colour(rng))], POLE)


def draw_bollards(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Paint a row of five bollards."""
    colour = pole_colour(rng)
    for step in range(4, -1, -1):
        canvas.cutouts(x, z + 1.6 * step, [(limb((0, 0), (0, 0.95), 0.2, 0.16), colour)], POLE)


def draw_sign(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Paint one or two traffic signs on a pole; seen from behind they are grey."""
    high, half = rng.uniform(2.1, 3.0), rng.uniform(0.34, 0.5)
    canvas.cutouts(x, z, [(limb((0, 0), (0, high + half), 0.16, 0.14), pole_colour(rng))], POLE)
    plates = _plate(rng, high, half)
    if rng.random() < 0.3:
        plates += _plate(rng, high - 2 * half - 0.1, half * 0.85)
    canvas.cutouts(x, z - 0.05, plates, TRAFFIC_SIGN)


def _plate(rng: np.random.Generator, y: float, half: float) -> Parts:
    red, blue, white, yellow = (
        np.array(c, float) for c in ((190, 25, 30), (25, 70, 165), (235, 235, 230), (225, 180, 30))
    )
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half + (0, y)
    triangle = np.array([(-1.1, -0.85), (1.1, -0.85), (0, 1.05)])
    kind = rng.integers(7)
    if kind == 0:
        return [(ellipse(0, y, half, half), red), (ellipse(0, y, half * 0.7, half * 0.7), white)]
    if kind == 1:
        return [
            (ellipse(0, y, half, half), red),
            (limb((-half * 0.65, y), (half * 0.65, y), half * 0.35, half * 0.35), white),
        ]
    if kind == 2:
        return [
            (ellipse(0, y, half, half), blue),
            (limb((0, y - half * 0.6), (0, y + half * 0.6), half * 0.3, half * 0.3), white),
        ]
    if kind == 3:
        triangle = triangle * rng.choice([-1, 1])
        return [(triangle * half + (0, y), red), (triangle * half * 0.62 + (0, y), white)]
    if kind == 4:
        turned = (square - (0, y))[:, ::-1] @ np.array([(0.75, 0.75), (-0.75, 0.75)]) + (0, y)
        return [(turned, white), ((turned - (0, y)) * 0.75 + (0, y), yellow)]
    if kind == 5:
        wide = (square - (0, y)) * (1.25, 1.0) + (0, y)
        return [(wide, blue if rng.random() < 0.6 else yellow), ((wide - (0, y)) * (0.7, 0.3) + (0, y), white)]
    return [(ellipse(0, y, half, half), np.full(3, rng.uniform(95, 165)))]  # from behind


def draw_traffic_light(canvas: Canvas, rng: np.random.Generator, x: float, z: float, inward: float) -> None:
    """Paint a traffic light on a pole, sometimes with a second one on an arm over the road."""
    high, colour, lit = rng.uniform(2.6, 3.4), pole_colour(rng), int(rng.integers(3))
    posts, boxes = [(limb((0, 0), (0, high + 0.2), 0.22, 0.2), colour)], [(0.0, high)]
    if rng.random() < 0.4:
        top, reach = rng.uniform(4.6, 5.4), inward * rng.uniform(2, 4)
        posts += [
            (limb((0, 0), (0, top + 0.1), 0.22, 0.18), colour),
            (limb((0, top), (reach, top), 0.16, 0.13), colour),
        ]
        boxes.append((reach, top))
    canvas.cutouts(x, z, posts, POLE)
    lamps = np.array([(235.0, 35, 25), (250.0, 190, 30), (40.0, 225, 120)])
    for across, y in boxes:
        case = limb((across, y - 0.75), (across, y + 0.75), 0.56, 0.56)
        parts = [(case, uniform_colour(rng, (18, 18, 18), (45, 45, 45)))]
        for index in range(3):
            lamp = canvas.light.emitted(lamps[index]) if index == lit else lamps[index] * 0.25
            parts.append((ellipse(across, y + 0.46 * (1 - index), 0.19, 0.19), lamp))
        canvas.cutouts(x, z - 0.05, parts, TRAFFIC_LIGHT)
        if canvas.light.night:
            canvas.glow((x + across, y + 0.46 * (1 - lit), z), 0.45, tuple(lamps[lit]))


def draw_bin(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """Paint a bin."""
    half, high, colour = rng.uniform(0.25, 0.6), rng.uniform(0.8, 1.3), uniform_colour(rng, 30, 120)
    body = np.array([(-half, 0), (half, 0), (half * 1.1, high), (-half * 1.1, high)])
    lid = np.array([(-half * 1.2, high), (half * 1.2, high), (half, high + 0.12), (-half, high + 0.12)])
    canvas.cutouts(x, z, [(body, colour), (lid, colour * 0.7)], STATIC)
