"""What the scene is painted on: a pinhole camera, the light, and an image whose labels are painted along with it.

Street coordinates are metres: x to the right of the road's centre line, y up from the ground, z ahead of the camera.
The road may bend; x is then counted from the bent centre line, so that everything on the street follows it.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

NEAR = 0.8  # metres; points behind are pulled here, which is right for the planes beside the camera
SUBPIXEL_BITS = 4
GRAIN_SIZE = 128  # of the noise table, a power of two


def uniform_colour(rng, low, high):
    """One RGB colour (3,) float on the way from `low` to `high`, with a little of its own in each channel."""
    low, high, chance = np.asarray(low, float), np.asarray(high, float), rng.random(4)
    return (low + (high - low) * chance[0] + 18 * (chance[1:] - 0.5)).clip(5, 250)


@dataclass(frozen=True)
class Camera:
    height: int  # of the image, pixels
    width: int
    focal: float  # pixels
    vanishing: tuple[float, float]  # where the straight road ends, pixels, before the roll
    roll: float  # radians
    x: float  # metres right of the road's centre line
    y: float  # metres above the ground
    bend: float  # curvature of the road, 1/metres

    @property
    def eye(self):
        return np.array([self.x, self.y, 0.0])

    def _turn(self, u, v, angle):
        if angle == 0:
            return u, v
        centre_u, centre_v = self.width / 2, self.height / 2
        cos, sin = math.cos(angle), math.sin(angle)
        u, v = u - centre_u, v - centre_v
        return centre_u + cos * u - sin * v, centre_v + sin * u + cos * v

    def project(self, points):
        """Street coordinates (..., 3) to pixels (..., 2), float."""
        z = np.maximum(points[..., 2], NEAR)
        u = self.vanishing[0] + self.focal * (points[..., 0] - self.x + self.bend * z * z / 2) / z
        v = self.vanishing[1] + self.focal * (self.y - points[..., 1]) / z
        pixels = np.empty((*z.shape, 2))
        pixels[..., 0], pixels[..., 1] = self._turn(u, v, self.roll)
        return pixels.clip(-20000, 20000, out=pixels)

    def sees(self, x, z, reach):
        """Whether something at street coordinates x, z that reaches `reach` metres to both sides can be in view."""
        u = self.vanishing[0] + self.focal * (x - self.x + self.bend * z * z / 2) / max(z, NEAR)
        margin = self.focal * reach / max(z, NEAR) + 0.1 * self.width  # the roll moves it a little
        return -margin < u < self.width + margin

    def ground(self):
        """For every pixel, the street coordinates x, z (H, W) of the ground there; z is 1e4 from the horizon up."""
        v, u = np.indices((self.height, self.width), np.float32)
        u, v = self._turn(u, v, -self.roll)
        z = self.focal * self.y / np.maximum(v - self.vanishing[1], self.focal * self.y / 1e4)
        return self.x + (u - self.vanishing[0]) * z / self.focal - self.bend * z * z / 2, z


@dataclass(frozen=True)
class Light:
    ambient: np.ndarray  # (3,) share of its own colour that a surface shows in the shade
    sun: np.ndarray  # (3,) what a surface facing the sun shows on top
    direction: np.ndarray  # (3,) unit vector to the sun
    haze: np.ndarray  # (3,) RGB
    visibility: float  # metres at which haze hides 63 %
    night: bool

    @cached_property
    def unturned(self):
        return self.ambient + 0.5 * self.sun

    def factor(self, normal=None):
        """(3,) what a surface with this normal multiplies its colour by; without a normal, half turned to the sun."""
        if normal is None:
            return self.unturned
        return self.ambient + self.sun * max(0.0, float(np.dot(normal, self.direction)))

    def haziness(self, z):
        return 1 - np.exp(-np.asarray(z) / self.visibility)

    def tint(self, colours, z, normal=None):
        """The RGB colours (..., 3) as the camera sees them from z metres."""
        k = 1 - math.exp(-z / self.visibility)
        return (colours * (self.factor(normal) * (1 - k)) + self.haze * k).clip(0, 255)

    def emitted(self, colour):
        """A colour that looks like `colour` in the shade too: for lamps and lit windows."""
        return np.asarray(colour) / self.ambient


class Canvas:
    """An RGB image (H, W, 3) uint8 and its labels (H, W) uint8, painted together from far to near."""

    def __init__(self, camera, light, rng):
        self.camera, self.light = camera, light
        self.noise = rng.standard_normal((GRAIN_SIZE, GRAIN_SIZE), dtype=np.float32)
        self.image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.labels = np.zeros((camera.height, camera.width), np.uint8)
        self.glows = []  # (u, v, radius, RGB, the pixel there): lamps to be spread over the finished image

    def rough(self, rng, height, width, colour, strength):
        """A texture (height, width, 3) float32 of one RGB colour with some noise."""
        top, left = rng.integers(0, GRAIN_SIZE, 2)
        rows, columns = np.arange(top, top + height) % GRAIN_SIZE, np.arange(left, left + width) % GRAIN_SIZE
        grain = 1 + np.float32(strength) * self.noise[rows[:, None], columns]
        return cv2.merge([grain * np.float32(channel) for channel in colour])

    def fill(self, pixels, colour, label=None):
        """Paints one polygon of pixels (N, 2) with the RGB colour as it is; None leaves image or labels alone."""
        fixed = (pixels * (1 << SUBPIXEL_BITS)).round().astype(np.int32)[None]
        if colour is not None:
            cv2.fillPoly(self.image, fixed, colour, cv2.LINE_AA, SUBPIXEL_BITS)
        if label is not None:
            cv2.fillPoly(self.labels, fixed, label, cv2.LINE_8, SUBPIXEL_BITS)

    def polygon(self, points, colour, label=None, normal=None):
        """Paints the polygon with corners (N, 3) in street coordinates, in the scene's light."""
        z = points[:, 2].sum() / len(points)
        self.fill(self.camera.project(points), self.light.tint(colour, z, normal).tolist(), label)

    def cutouts(self, x, z, parts, label, squeeze=1.0):
        """Paints flat figures that face the camera and stand at x, z; parts: [(corners (N, 2) in metres, RGB)].

        A part whose colour is None is seen through, yet belongs to the labels.
        """
        corners = np.concatenate([corners for corners, _ in parts])
        points = np.column_stack([x + corners[:, 0] * squeeze, corners[:, 1], np.full(len(corners), z)])
        pixels = np.split(self.camera.project(points), np.cumsum([len(corners) for corners, _ in parts])[:-1])
        colours = np.array([(0.0, 0.0, 0.0) if colour is None else colour for _, colour in parts])
        tints = self.light.tint(colours, z).tolist()
        for part, (_, colour), tint in zip(pixels, parts, tints, strict=True):
            self.fill(part, None if colour is None else tint, label)

    def shadow(self, points, strength=0.5):
        """Darkens the ground polygon (N, 3); its labels stay."""
        pixels = np.round(self.camera.project(points)).astype(np.int32)
        left, top, right, bottom = self._frame(pixels)
        if left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillConvexPoly(mask, pixels - (left, top), 255, cv2.LINE_AA)
        part = self.image[top:bottom, left:right]
        part[:] = part * (1 - strength / 255 * mask[..., None])

    def panel(self, corners, make_texture, label, normal=None):
        """Hangs a texture on the quadrangle top left, top right, bottom right, bottom left (4, 3), if it is in view.

        `make_texture` is called for it, and gives (h, w, 3 or 4) float32. The fourth channel, 0..1, lets what is behind
        shine through; the labels are painted all the same.
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

    def _lit(self, texture, z, normal):
        k = self.light.haziness(np.linspace(z[0], z[1], texture.shape[1]))[:, None]
        scale, haze = self.light.factor(normal) * (1 - k), self.light.haze * k  # (w, 3)
        lit = np.clip(texture[..., :3] * scale.astype(np.float32) + haze.astype(np.float32), 0, 255)
        return lit if texture.shape[2] == 3 else np.dstack([lit, texture[..., 3]])

    def _frame(self, pixels):
        """The part of the image that can hold these pixels: left, top, right, bottom."""
        (left, top), (right, bottom) = np.floor(pixels.min(0)), np.ceil(pixels.max(0)) + 1
        height, width = self.labels.shape
        return max(int(left), 0), max(int(top), 0), min(int(right), width), min(int(bottom), height)

    def glow(self, point, radius, colour):
        """Remembers a lamp at the street coordinates (3,) that outshines its surroundings within `radius` metres."""
        u, v = (round(part) for part in self.camera.project(np.asarray(point, float)).tolist())
        if 0 <= u < self.camera.width and 0 <= v < self.camera.height:
            radius = self.camera.focal * radius / max(point[2], NEAR)
            self.glows.append((u, v, radius, colour, self.image[v, u].copy()))

    def visible_glows(self):
        """The lamps that nothing was painted over: [(u, v, radius, RGB)], in pixels."""
        return [glow[:4] for glow in self.glows if np.array_equal(self.image[glow[1], glow[0]], glow[4])]
