"""A pinhole camera, the light, and a canvas that paints an image and its labels together.

Street coordinates are in metres: x to the right of the road's centre line, y up from the ground, z ahead of the camera.
If the road bends, x is measured from the bent centre line, so that everything on the street follows it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike

NEAR = 0.8  # metres; nearer points are moved here, which is exact for planes parallel to the road
SUBPIXEL_BITS = 4
GRAIN_SIZE = 128  # side of the noise table, a power of two

Colour = np.ndarray | tuple[float, float, float]  # RGB, 0 to 255
Parts = list[tuple[np.ndarray, Colour | None]]  # polygons of a flat figure: corners (N, 2) in metres, colour


def uniform_colour(rng: np.random.Generator, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Return a random RGB colour (3,) float between `low` and `high`, with a small deviation per channel."""
    low, high, chance = np.asarray(low, float), np.asarray(high, float), rng.random(4)
    return (low + (high - low) * chance[0] + 18 * (chance[1:] - 0.5)).clip(5, 250)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on or next to the road.

    Attributes:
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        focal: focal length, in pixels.
        vanishing: (u, v) of the vanishing point of the straight road before the roll, in pixels.
        roll: rotation about the optical axis, in radians.
        x: position right of the road's centre line, in metres.
        y: height above the ground, in metres.
        bend: curvature of the road, in 1/metres.
    """

    height: int
    width: int
    focal: float
    vanishing: tuple[float, float]
    roll: float
    x: float
    y: float
    bend: float

    @property
    def eye(self) -> np.ndarray:
        """The position of the camera (3,), in street coordinates."""
        return np.array([self.x, self.y, 0.0])

    def _turn(self, u: np.ndarray, v: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
        if angle == 0:
            return u, v
        centre_u, centre_v = self.width / 2, self.height / 2
        cos, sin = math.cos(angle), math.sin(angle)
        u, v = u - centre_u, v - centre_v
        return centre_u + cos * u - sin * v, centre_v + sin * u + cos * v

    def project(self, points: np.ndarray) -> np.ndarray:
        """Map street coordinates (..., 3) to pixel coordinates (..., 2), float."""
        z = np.maximum(points[..., 2], NEAR)
        u = self.vanishing[0] + self.focal * (points[..., 0] - self.x + self.bend * z * z / 2) / z
        v = self.vanishing[1] + self.focal * (self.y - points[..., 1]) / z
        pixels = np.empty((*z.shape, 2))
        pixels[..., 0], pixels[..., 1] = self._turn(u, v, self.roll)
        return pixels.clip(-20000, 20000, out=pixels)

    def sees(self, x: float, z: float, reach: float) -> bool:
        """Return whether an object at x, z that extends `reach` metres to both sides may be in view."""
        u = self.vanishing[0] + self.focal * (x - self.x + self.bend * z * z / 2) / max(z, NEAR)
        margin = self.focal * reach / max(z, NEAR) + 0.1 * self.width  # for the roll
        return -margin < u < self.width + margin

    def ground(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the street coordinates x, z (H, W) of the ground at every pixel; z is 1e4 above the horizon."""
        v, u = np.indices((self.height, self.width), np.float32)
        u, v = self._turn(u, v, -self.roll)
        z = self.focal * self.y / np.maximum(v - self.vanishing[1], self.focal * self.y / 1e4)
        return self.x + (u - self.vanishing[0]) * z / self.focal - self.bend * z * z / 2, z


@dataclass(frozen=True)
class Light:
    """The light of a scene.

    Attributes:
        ambient: (3,) factor of a surface's colour in the shade.
        sun: (3,) factor that is added for a surface that faces the sun.
        direction: (3,) unit vector towards the sun.
        haze: (3,) RGB colour of the haze.
        visibility: distance at which haze hides 63 %, in metres.
        night: whether lamps are lit.
    """

    ambient: np.ndarray
    sun: np.ndarray
    direction: np.ndarray
    haze: np.ndarray
    visibility: float
    night: bool

    @cached_property
    def unturned(self) -> np.ndarray:
        """The factor (3,) of a surface that half faces the sun."""
        return self.ambient + 0.5 * self.sun

    def factor(self, normal: np.ndarray | None = None) -> np.ndarray:
        """Return the factor (3,) of the colour of a surface with this normal; None means half facing the sun."""
        if normal is None:
            return self.unturned
        return self.ambient + self.sun * max(0.0, float(np.dot(normal, self.direction)))

    def haziness(self, z: ArrayLike) -> np.ndarray:
        """Return the fraction of the haze in the colour at distance z, in metres."""
        return 1 - np.exp(-np.asarray(z) / self.visibility)

    def tint(self, colours: np.ndarray, z: float, normal: np.ndarray | None = None) -> np.ndarray:
        """Return the RGB colours (..., 3) as seen from z metres, with light and haze."""
        k = 1 - math.exp(-z / self.visibility)
        return (colours * (self.factor(normal) * (1 - k)) + self.haze * k).clip(0, 255)

    def emitted(self, colour: ArrayLike) -> np.ndarray:
        """Return a colour (3,) that appears as `colour` in the shade, for lamps and lit windows."""
        return np.asarray(colour) / self.ambient


class Canvas:
    """An RGB image (H, W, 3) uint8 and its labels (H, W) uint8, which are painted together from far to near.

    Args:
        camera: the camera.
        light: the light.
        rng: the random stream of the noise table.
    """

    def __init__(self, camera: Camera, light: Light, rng: np.random.Generator) -> None:
        self.camera, self.light = camera, light
        self.noise = rng.standard_normal((GRAIN_SIZE, GRAIN_SIZE), dtype=np.float32)
        self.image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.labels = np.zeros((camera.height, camera.width), np.uint8)
        # (u, v, radius, RGB, pixel at u, v) of lamps whose light is added to the finished image
        self.glows: list[tuple[int, int, float, Colour, np.ndarray]] = []

    def rough(
        self, rng: np.random.Generator, height: int, width: int, colour: np.ndarray, strength: float
    ) -> np.ndarray:
        """Return a texture (height, width, 3) float32 of an RGB colour with noise."""
        top, left = rng.integers(0, GRAIN_SIZE, 2)
        rows, columns = np.arange(top, top + height) % GRAIN_SIZE, np.arange(left, left + width) % GRAIN_SIZE
        grain = 1 + np.float32(strength) * self.noise[rows[:, None], columns]
        return cv2.merge([grain * np.float32(channel) for channel in colour])

    def fill(self, pixels: np.ndarray, colour: Sequence[float] | None, label: int | None = None) -> None:
        """Fill a polygon of pixel coordinates (N, 2) in image and labels; None skips one of them."""
        fixed = [(pixels * (1 << SUBPIXEL_BITS)).round().astype(np.int32)]
        if colour is not None:
            cv2.fillPoly(self.image, fixed, colour, cv2.LINE_AA, SUBPIXEL_BITS)
        if label is not None:
            cv2.fillPoly(self.labels, fixed, label, cv2.LINE_8, SUBPIXEL_BITS)

    def polygon(
        self, points: np.ndarray, colour: np.ndarray, label: int | None = None, normal: np.ndarray | None = None
    ) -> None:
        """Paint a polygon with corners (N, 3) in street coordinates, in the scene's light."""
        z = points[:, 2].sum() / len(points)
        self.fill(self.camera.project(points), self.light.tint(colour, z, normal).tolist(), label)

    def cutouts(
        self, x: float, z: float, parts: Sequence[tuple[np.ndarray, Colour | None]], label: int, squeeze: float = 1.0
    ) -> None:
        """Paint a flat figure that faces the camera and stands at x, z.

        Args:
            x: position, in metres.
            z: position, in metres.
            parts: (corners (N, 2) in metres, RGB colour) of each polygon. A part without a colour is painted in the
                labels only.
            label: label ID of the figure.
            squeeze: factor of the width.
        """
        corners = np.concatenate([corners for corners, _ in parts])
        points = np.column_stack([x + corners[:, 0] * squeeze, corners[:, 1], np.full(len(corners), z)])
        pixels = np.split(self.camera.project(points), np.cumsum([len(corners) for corners, _ in parts])[:-1])
        colours = np.array([(0.0, 0.0, 0.0) if colour is None else colour for _, colour in parts])
        tints = self.light.tint(colours, z).tolist()
        for part, (_, colour), tint in zip(pixels, parts, tints, strict=True):
            self.fill(part, None if colour is None else tint, label)

    def shadow(self, points: np.ndarray, strength: float = 0.5) -> None:
        """Darken a ground polygon (N, 3); the labels do not change."""
        pixels = np.round(self.camera.project(points)).astype(np.int32)
        left, top, right, bottom = self._frame(pixels)
        if left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillConvexPoly(mask, pixels - (left, top), 255, cv2.LINE_AA)
        part = self.image[top:bottom, left:right]
        part[:] = part * (1 - strength / 255 * mask[..., None])

    def panel(
        self, corners: np.ndarray, make_texture: Callable[[], np.ndarray], label: int, normal: np.ndarray | None = None
    ) -> None:
        """Map a texture onto a quadrilateral, if it is in view.

        Args:
            corners: (4, 3) top left, top right, bottom right and bottom left, in street coordinates.
            make_texture: returns the texture (h, w, 3 or 4) float32; a fourth channel is alpha, 0 to 1, which has no
                effect on the labels.
            label: label ID.
            normal: (3,) unit normal, for the light.
        """
        pixels = self.camera.project(corners).astype(np.float32)
        left, top, right, bottom = self._frame(pixels)
        if left >= right or top >= bottom:
            return
        texture = self._lit(make_texture(), corners[:2, 2], normal)
        height, width = texture.shape[:2]
        pixels -= (left, top)
        source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32) - 0.5
        warp = cv2.getPerspectiveTransform(source, pixels)
        size = (right - left, bottom - top)
        warped = cv2.warpPerspective(texture, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(mask, np.round(pixels * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
        alpha = mask * np.float32(1 / 255)
        if warped.shape[2] == 4:
            alpha *= warped[..., 3]
        part = self.image[top:bottom, left:right]
        part[:] = part + cv2.merge([alpha] * 3) * (warped[..., :3] - part)
        self.labels[top:bottom, left:right][mask >= 128] = label

    def _lit(self, texture: np.ndarray, z: np.ndarray, normal: np.ndarray | None) -> np.ndarray:
        k = self.light.haziness(np.linspace(z[0], z[1], texture.shape[1]))[:, None]
        scale, haze = self.light.factor(normal) * (1 - k), self.light.haze * k  # (w, 3)
        lit = np.clip(texture[..., :3] * scale.astype(np.float32) + haze.astype(np.float32), 0, 255)
        return lit if texture.shape[2] == 3 else np.dstack([lit, texture[..., 3]])

    def _frame(self, pixels: np.ndarray) -> tuple[int, int, int, int]:
        """Return the bounding box of pixel coordinates within the image: left, top, right, bottom."""
        (left, top), (right, bottom) = np.floor(pixels.min(0)), np.ceil(pixels.max(0)) + 1
        height, width = self.labels.shape
        return max(int(left), 0), max(int(top), 0), min(int(right), width), min(int(bottom), height)

    def glow(self, point: Colour, radius: float, colour: Colour) -> None:
        """Record a lamp at street coordinates (3,) that illuminates its surroundings within `radius` metres."""
        u, v = (round(part) for part in self.camera.project(np.asarray(point, float)).tolist())
        if 0 <= u < self.camera.width and 0 <= v < self.camera.height:
            radius = self.camera.focal * radius / max(point[2], NEAR)
            self.glows.append((u, v, radius, colour, self.image[v, u].copy()))

    def visible_glows(self) -> list[tuple[int, int, float, Colour]]:
        """Return the lamps that are not occluded: (u, v, radius, RGB), in pixels."""
        return [glow[:4] for glow in self.glows if np.array_equal(self.image[glow[1], glow[0]], glow[4])]
