"""Cars with an outline from bumper to bumper, windows, wheels and lamps, and functions shared by all vehicles."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from regseg.streets.canvas import Camera, Canvas
from regseg.streets.labels import CAR

GLASS = np.array([38.0, 46.0, 54.0])
TYRE = np.array([24.0, 24.0, 26.0])
HUB = np.array([115.0, 115.0, 118.0])
WHEEL = np.linspace(0, 2 * np.pi, 12, endpoint=False)


class Pose(NamedTuple):
    """Position and heading of an object.

    Attributes:
        x: position of its middle, in metres.
        z: position of its middle, in metres.
        heading: in radians; 0 is away from the camera, pi/2 is to the right.
    """

    x: float
    z: float
    heading: float

    def place(self, along: float | np.ndarray, up: float | np.ndarray, right: float | np.ndarray) -> np.ndarray:
        """Return street coordinates (..., 3) of points given in metres ahead of, above and right of the middle."""
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        x = self.x + along * sin + right * cos
        points = np.empty((*np.shape(x + up), 3))
        points[..., 0], points[..., 1], points[..., 2] = x, up, self.z + along * cos - right * sin
        return points

    def direction(self, along: float, right: float) -> np.ndarray:
        """Return the unit vector (3,) that points ahead (along = 1) or to the right (right = 1) of the object."""
        return self._replace(x=0.0, z=0.0).place(along, 0.0, right)

    def moved(self, along: float) -> Pose:
        """Return the pose moved ahead by `along` metres."""
        x, _, z = self.place(along, 0.0, 0.0)
        return self._replace(x=x, z=z)

    def leads_away(self) -> bool:
        """Return whether the object heads away from the camera."""
        return math.cos(self.heading) >= 0

    def visible_side(self, camera: Camera) -> int:
        """Return 1 if the camera sees the object's right side, -1 for the left side, 0 for neither."""
        across = (camera.x - self.x) * math.cos(self.heading) + self.z * math.sin(self.heading)
        return 0 if abs(across) < 0.9 else int(math.copysign(1, across))


class CarBody(NamedTuple):
    """A car as seen from the right. Points are fractions of its length and height.

    Attributes:
        size: (length, width, height), in metres.
        outline: points from the rear bumper over the roof to the front bumper.
        windows: outline of each side window.
        screens: indices of the faces of the outline with the rear window and the windscreen.
    """

    size: tuple[float, float, float]
    outline: list[tuple[float, float]]
    windows: list[list[tuple[float, float]]]
    screens: tuple[int, int]


SALOON = CarBody(
    (4.5, 1.8, 1.45),
    [(-0.5, 0.17), (-0.5, 0.58), (-0.34, 0.66), (-0.2, 1), (0.1, 1), (0.26, 0.66), (0.47, 0.54), (0.5, 0.17)],
    [
        [(-0.29, 0.67), (-0.19, 0.93), (-0.05, 0.94), (-0.05, 0.67)],
        [(-0.02, 0.67), (-0.02, 0.94), (0.09, 0.94), (0.21, 0.67)],
    ],
    (2, 4),
)
HATCHBACK = CarBody(
    (3.9, 1.75, 1.5),
    [(-0.5, 0.17), (-0.5, 0.6), (-0.42, 0.97), (-0.3, 1), (0.08, 1), (0.27, 0.64), (0.47, 0.54), (0.5, 0.17)],
    [
        [(-0.4, 0.66), (-0.35, 0.92), (-0.1, 0.94), (-0.1, 0.66)],
        [(-0.06, 0.66), (-0.06, 0.94), (0.07, 0.93), (0.22, 0.66)],
    ],
    (1, 4),
)
OFF_ROADER = CarBody(
    (4.6, 1.9, 1.75),
    [(-0.5, 0.2), (-0.5, 0.6), (-0.45, 0.97), (-0.3, 1), (0.12, 1), (0.25, 0.66), (0.48, 0.58), (0.5, 0.2)],
    [
        [(-0.43, 0.67), (-0.39, 0.92), (-0.12, 0.94), (-0.12, 0.67)],
        [(-0.08, 0.67), (-0.08, 0.94), (0.1, 0.93), (0.2, 0.67)],
    ],
    (1, 4),
)
VAN = CarBody(
    (5.0, 1.95, 2.1),
    [(-0.5, 0.15), (-0.5, 0.6), (-0.49, 0.97), (-0.45, 1), (0.28, 1), (0.41, 0.62), (0.49, 0.5), (0.5, 0.15)],
    [[(0.0, 0.6), (0.0, 0.9), (0.25, 0.9), (0.35, 0.6)]],
    (1, 4),
)


def vehicle_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour; all kinds of vehicles have the same colours, so that colour does not identify a kind."""
    paints = [(225, 225, 225), (150, 152, 155), (85, 88, 92), (32, 32, 36), (165, 35, 35), (40, 65, 140), (45, 95, 60)]
    paints += [(215, 175, 45), (190, 175, 140)]
    paint = rng.choice(paints, p=[0.2, 0.17, 0.14, 0.14, 0.12, 0.09, 0.05, 0.05, 0.04])
    return np.clip(paint + rng.uniform(-22, 22, 3) + rng.uniform(-15, 15), 15, 245)


def draw_shadow(canvas: Canvas, pose: Pose, length: float, width: float) -> None:
    """Darken the ground below a vehicle."""
    along, right = np.array([-1, 1, 1, -1]) * (length / 2 + 0.25), np.array([-1, -1, 1, 1]) * (width / 2 + 0.25)
    canvas.shadow(pose.place(along, 0.0, right), 0.35)
    canvas.shadow(pose.place(along * 0.93, 0.0, right * 0.88), 0.5)


def draw_wheels(canvas: Canvas, pose: Pose, at: tuple[float, ...], width: float, radius: float, label: int) -> None:
    """Paint the wheels on the visible side; `at` lists their distances ahead of the middle, in metres."""
    side = pose.visible_side(canvas.camera)
    discs = [(radius, TYRE), (0.55 * radius, HUB)] if pose.z < 30 else [(radius, TYRE)]
    for along in at if side else ():
        for size, colour in discs:
            wheel = pose.place(along + size * np.cos(WHEEL), radius + size * np.sin(WHEEL), side * width / 2)
            canvas.polygon(wheel, colour, label, pose.direction(0, side))


def draw_car(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Paint a car."""
    body = [SALOON, HATCHBACK, OFF_ROADER, VAN][rng.choice(4, p=[0.35, 0.3, 0.22, 0.13])]
    size = length, width, height = np.array(body.size) * rng.uniform(0.94, 1.06, 3)
    scale, paint = np.array([length, height]), vehicle_colour(rng)
    outline = np.array(body.outline) * scale
    draw_shadow(canvas, pose, length, width)
    if pose.z < 30:
        _draw_tyre_ends(canvas, pose, size)
    _draw_shell(canvas, pose, outline, size, paint, body.screens)
    if pose.visible_side(canvas.camera):
        _draw_side(canvas, pose, outline, [np.array(window) * scale for window in body.windows], size, paint)
    if abs(math.cos(pose.heading)) > 0.15 and (pose.z < 40 or canvas.light.night):
        _draw_lamps(canvas, pose, size)


def _draw_tyre_ends(canvas: Canvas, pose: Pose, size: np.ndarray) -> None:
    """Paint the tyres below the visible bumper."""
    length, width, height = size
    end = -length * 0.42 if pose.leads_away() else length * 0.42
    for right in (-width * 0.42, width * 0.42):
        quad = pose.place(end, np.array([0, 0, 1, 1]) * height * 0.25, right + np.array([-0.11, 0.11, 0.11, -0.11]))
        canvas.polygon(quad, TYRE, CAR)


def _half_width(up: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return half the width of a car at a height; the cabin is narrower."""
    return size[1] / 2 * (1 - 0.18 * np.clip((up / size[2] - 0.62) / 0.38, 0, 1))


def _draw_shell(
    canvas: Canvas,
    pose: Pose,
    outline: np.ndarray,
    size: np.ndarray,
    paint: np.ndarray,
    screens: tuple[int, int],
) -> None:
    """Paint the visible faces of the strip that runs over the car from bumper to bumper."""
    along, up = outline.T
    half = _half_width(up, size)
    left, right = pose.place(along, up, -half), pose.place(along, up, half)
    faces = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)  # (F, 4, 3)
    middles, eye = faces.mean(1), canvas.camera.eye
    normals = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals *= np.sign(((middles - pose.place(0.0, size[2] * 0.4, 0.0)) * normals).sum(1, keepdims=True))
    for index in np.argsort(-np.linalg.norm(middles - eye, axis=1)):
        face, middle, normal = faces[index], middles[index], normals[index]
        if np.dot(eye - middle, normal) <= 0:
            continue
        canvas.polygon(face, paint, CAR, normal)
        if index in screens:
            canvas.polygon(middle + (face - middle) * 0.84, GLASS + canvas.light.haze * 0.12, CAR, normal)


def _draw_side(
    canvas: Canvas,
    pose: Pose,
    outline: np.ndarray,
    windows: list[np.ndarray],
    size: np.ndarray,
    paint: np.ndarray,
) -> None:
    side = pose.visible_side(canvas.camera)
    for shape, colour in [(outline, paint), *((window, GLASS) for window in windows)]:
        along, up = shape.T
        canvas.polygon(pose.place(along, up, side * _half_width(up, size)), colour, CAR, pose.direction(0, side))
    draw_wheels(canvas, pose, (-0.31 * size[0], 0.31 * size[0]), size[1], 0.33, CAR)


def _draw_lamps(canvas: Canvas, pose: Pose, size: np.ndarray) -> None:
    """Paint lamps, number plate and grille on the visible end."""
    length, width, height = size
    rear, light = pose.leads_away(), canvas.light
    end = -length / 2 if rear else length / 2

    def patch(colour: np.ndarray, up: float, tall: float, right: float, half: float) -> None:
        corners = pose.place(end, height * (up + np.array([0, 0, tall, tall])), right + half * np.array([-1, 1, 1, -1]))
        canvas.polygon(corners, colour, CAR)

    lamp = np.array([190.0, 25, 25]) if rear else np.array([225.0, 225, 215])
    for right in (-width * 0.4, width * 0.4):
        patch(light.emitted(lamp) if light.night else lamp, *((0.44, 0.12) if rear else (0.4, 0.1)), right, 0.17)
        if light.night:
            canvas.glow(pose.place(end, height * 0.48, right), 0.35 if rear else 0.6, lamp)
    patch(np.array([218.0, 218, 208]), 0.3 if rear else 0.26, 0.08, 0.0, 0.26)
    if not rear:
        patch(TYRE * 1.5, 0.38, 0.1, 0.0, 0.22 * width)
