"""The camera's position, the light, and the effects of lens and sensor."""

import cv2
import numpy as np

from regseg.streets.canvas import Camera, Canvas, Colour, Light


def sample_camera(rng: np.random.Generator, height: int, width: int, left: float, right: float) -> Camera:
    """Sample a camera between the x coordinates left and right: its direction, focal length, roll and bend."""
    return Camera(
        height=height,
        width=width,
        focal=width * rng.uniform(0.55, 1.15),
        vanishing=(width * rng.normal(0.5, 0.22), height * rng.normal(0.42, 0.11)),
        roll=rng.normal(0, 0.04) if rng.random() < 0.75 else 0.0,
        x=rng.uniform(left, right),
        y=rng.uniform(1.2, 2.6),
        bend=rng.normal(0, 0.003) if rng.random() < 0.6 else 0.0,
    )


def sample_light(rng: np.random.Generator) -> Light:
    """Sample the light of a clear or overcast day, dusk or night."""
    time = rng.choice(["clear", "overcast", "dusk", "night"], p=[0.5, 0.27, 0.13, 0.1])
    ambient, sun, haze, far = {
        "clear": ((0.55, 0.58, 0.64), (0.6, 0.56, 0.48), (205, 220, 235), (150, 900)),
        "overcast": ((0.85, 0.87, 0.9), (0.12, 0.12, 0.12), (205, 208, 212), (60, 500)),
        "dusk": ((0.46, 0.43, 0.5), (0.55, 0.36, 0.2), (225, 165, 120), (100, 500)),
        "night": ((0.34, 0.33, 0.4), (0.0, 0.0, 0.0), (38, 38, 58), (60, 300)),
    }[time]
    turn, climb = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35) if time == "dusk" else rng.uniform(0.35, 1.2)
    direction = np.array([np.cos(turn) * np.cos(climb), np.sin(climb), np.sin(turn) * np.cos(climb)])
    strength = rng.uniform(0.85, 1.15)
    return Light(
        ambient=np.array(ambient) * strength,
        sun=np.array(sun) * rng.uniform(0.6, 1.2),
        direction=direction,
        haze=np.array(haze, float) * rng.uniform(0.85, 1.05) * rng.uniform(0.95, 1.05, 3),
        visibility=rng.uniform(*far),
        night=time == "night",
    )


def develop(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Return the image (H, W, 3) uint8 with glare, blur, exposure, colour cast, vignetting and noise."""
    image: np.ndarray = canvas.image.astype(np.float32)
    height, width = canvas.labels.shape
    image += _glare(canvas, rng)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.7) * height / 128)
    night = canvas.light.night
    aim = rng.uniform(45, 75) if night else rng.uniform(95, 148)  # automatic exposure
    exposure = np.clip(aim / max(image.mean(), 1), 0.6, 1.9)
    cast = exposure * rng.uniform(0.93, 1.07, 3)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    vignette = 1 - np.float32(rng.uniform(0, 0.25)) * (x * x + y * y) / 2
    image *= cv2.merge([vignette * np.float32(channel) for channel in cast])
    table = 255 * (np.arange(256) / 255) ** rng.uniform(0.8, 1.2) * rng.uniform(0.85, 1.0) + rng.uniform(0, 14)
    strength = rng.uniform(3, 9) if night else rng.uniform(0.5, 5)
    image = np.take(table.astype(np.float32), np.clip(image, 0, 255).astype(np.uint8))
    image += np.float32(strength) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def _shine(image: np.ndarray, halo: np.ndarray, left: int, top: int, colour: Colour) -> None:
    """Raise the image to at least colour * halo (h, w) at left, top, in place; parts outside are ignored."""
    height, width = image.shape[:2]
    rows, columns = (np.arange(size) + start for size, start in zip(halo.shape, (top, left), strict=True))
    inside = np.ix_((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    spot = halo[inside]
    if spot.size:
        top, left = max(top, 0), max(left, 0)
        part = image[top : top + spot.shape[0], left : left + spot.shape[1]]
        np.maximum(part, spot[..., None] * np.asarray(colour, np.float32), out=part)


def _glare(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Return the glare of lamps and of a low sun (H, W, 3) float32, computed at half size because it is smooth."""
    height, width = canvas.labels.shape
    small = np.zeros((height // 2, width // 2, 3), np.float32)
    for u, v, radius, colour in canvas.visible_glows():
        reach = int(np.clip(radius, 1, height / 8))
        halo = cv2.getGaussianKernel(2 * reach + 1, reach / 2.5, cv2.CV_32F)
        _shine(small, halo @ halo.T / halo.max() ** 2 * 0.75, round(u / 2) - reach, round(v / 2) - reach, colour)
    if not canvas.light.night and rng.random() < 0.15:
        sun_u, sun_v = rng.uniform(0, width / 2), rng.uniform(0, canvas.camera.vanishing[1] / 2)
        y, x = np.mgrid[: small.shape[0], : small.shape[1]].astype(np.float32)
        far = ((x - sun_u) ** 2 + (y - sun_v) ** 2) / (rng.uniform(0.1, 0.35) * width / 2) ** 2
        small += (rng.uniform(80, 170) / (1 + 2 * far))[..., None] * np.array([1, 0.93, 0.78], np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
