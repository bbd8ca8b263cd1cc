"""The surroundings of the street: sky, skyline, buildings, walls and fences."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from regseg.streets.canvas import NEAR, Canvas, uniform_colour
from regseg.streets.labels import BUILDING, FENCE, SKY, VEGETATION, WALL

FACING_CAMERA = np.array([0.0, 0.0, -1.0])


def paint_sky(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the whole image with a gradient from the haze at the horizon to the zenith, and clouds."""
    height, width = (size // 2 for size in canvas.labels.shape)  # half size, because it is smooth
    light, horizon = canvas.light, canvas.camera.vanishing[1] / 2
    blue = np.array([1, 1, 1]) - rng.uniform(0.1, 1) * np.array([0.55, 0.36, 0.15])
    zenith = light.haze * (rng.uniform(0.45, 1.05) if light.night else blue * rng.uniform(0.9, 1.05))
    up = np.clip((horizon - np.arange(height, dtype=np.float32)) / (0.9 * height), 0, 1)[:, None, None]
    sky = light.haze + (zenith - light.haze) * up**0.7
    cells = rng.standard_normal((rng.integers(3, 9), rng.integers(3, 7)), dtype=np.float32)
    clouds: np.ndarray = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    fine = rng.standard_normal((max(height // 4, 2), max(width // 5, 2)), dtype=np.float32)
    clouds += 0.35 * cv2.resize(fine, (width, height), interpolation=cv2.INTER_CUBIC)
    cover = np.clip(clouds + rng.uniform(-1.2, 0.6), 0, 1)[..., None] * rng.uniform(0.2, 0.9)
    cloud = light.haze * rng.uniform(0.75, 1.2)
    sky = np.clip(sky + cover * (cloud - sky), 0, 255).astype(np.float32)
    canvas.image[:] = cv2.resize(sky, canvas.image.shape[1::-1])
    canvas.labels[:] = SKY


def paint_skyline(canvas: Canvas, rng: np.random.Generator, z: float) -> None:
    """Paint woods or roofs on the horizon, z metres away."""
    camera = canvas.camera
    reach = z * camera.width / camera.focal * 2.2
    wooded = rng.random() < 0.6
    step = rng.uniform(0.01, 0.02) if wooded else rng.uniform(0.02, 0.05)
    count = int(2 / step)
    x = np.linspace(-reach, reach, count) + camera.x - camera.bend * z * z / 2
    hills = np.interp(np.arange(count), np.linspace(0, count, 9), rng.uniform(0.02, 0.09, 9) * z)
    y = hills * rng.uniform(0.75, 1.25, count)
    if not wooded:
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    outline = np.column_stack([x, y, np.full(len(x), z)])
    base = np.array([(x[-1], -2, z), (x[0], -2, z)])
    colour = foliage_colour(rng) * 0.7 if wooded else facade_colour(rng) * 0.8
    canvas.polygon(np.concatenate([outline, base]), colour, VEGETATION if wooded else BUILDING)


def foliage_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of leaves: green, dark green or autumnal."""
    kinds = [((40, 75, 25), (85, 125, 50)), ((30, 55, 35), (55, 85, 60)), ((120, 85, 25), (185, 130, 50))]
    return uniform_colour(rng, *kinds[rng.choice(3, p=[0.6, 0.22, 0.18])])


def facade_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a random colour of a facade."""
    kinds = [
        ((80, 80, 80), (190, 188, 186)),  # concrete, like the road
        ((120, 60, 45), (175, 95, 70)),  # brick
        ((180, 160, 120), (230, 215, 180)),  # plaster
        ((70, 85, 110), (130, 150, 175)),  # blue-grey
        ((150, 150, 110), (200, 190, 140)),
    ]
    colour = uniform_colour(rng, *kinds[rng.integers(len(kinds))])
    return colour if rng.random() < 0.7 else colour.mean() * rng.uniform(0.95, 1.05, 3)


def facade_texture(
    rng: np.random.Generator, canvas: Canvas, wide: float, high: float, colour: np.ndarray, scale: float
) -> np.ndarray:
    """Return a facade with rows of windows, `wide` x `high` metres at `scale` pixels per metre, (h, w, 3) float32."""
    y = np.arange(max(4, int(high * scale)), dtype=np.float32)[::-1] / scale  # metres above the ground
    x = np.arange(max(4, int(wide * scale)), dtype=np.float32) / scale
    texture = canvas.rough(rng, len(y), len(x), colour, rng.uniform(0.02, 0.08))
    storey, bay = rng.uniform(2.8, 3.6), rng.uniform(1.8, 3.8)
    shop = rng.uniform(3.2, 4.2) if rng.random() < 0.4 else 0.0
    tall, broad = rng.uniform(0.38, 0.62), rng.uniform(0.32, 0.66)
    row, column = np.floor((y - shop) / storey).astype(int), np.floor(x / bay).astype(int)
    from_sill = np.abs(y - shop - (row + 0.52) * storey) - tall * storey / 2  # negative inside the window
    from_jamb = np.abs(x - (column + 0.5) * bay) - broad * bay / 2
    walled = (row >= 0) & (y < high - 0.6)
    texture[np.ix_(walled & (from_sill < 0.18), from_jamb < 0.18)] = colour * rng.uniform(0.7, 1.3)  # the frames
    in_row, in_column = walled & (from_sill < 0), from_jamb < 0
    panes = window_colours(rng, canvas, row.max() + 1, column.max() + 1)
    texture[np.ix_(in_row, in_column)] = panes[row[in_row]][:, column[in_column]]
    if rng.random() < 0.5:  # a band between the storeys
        texture[(np.mod(y - shop, storey) < 0.3) & (y > shop)] *= rng.uniform(0.75, 1.2)
    if shop:
        _add_shops(rng, canvas, texture, x, y, shop)
    texture[y > high - 0.35] *= rng.uniform(0.6, 1.15)
    return texture


def window_colours(rng: np.random.Generator, canvas: Canvas, rows: int, columns: int) -> np.ndarray:
    """Return colours (rows, columns, 3) of dark panes, some with blinds or a reflected sky; at night some are lit."""
    dark = rng.uniform(25, 80) * rng.uniform(0.9, 1.15, 3)
    panes = dark * rng.uniform(0.7, 1.4, (rows, columns, 1))
    bright = rng.random((rows, columns)) < rng.uniform(0.0, 0.35)
    shine = canvas.light.emitted((200, 160, 90)) if canvas.light.night else canvas.light.haze * 0.8
    panes[bright] = shine * rng.uniform(0.5, 1, (bright.sum(), 1))
    return panes


def _add_shops(
    rng: np.random.Generator, canvas: Canvas, texture: np.ndarray, x: np.ndarray, y: np.ndarray, shop: float
) -> None:
    """Add shop windows, doors and a sign board to the ground floor of a facade."""
    window = (y > 0.5) & (y < shop - 0.9)
    glass = canvas.light.emitted((150, 130, 95)) if canvas.light.night else canvas.light.haze * 0.5
    panes = glass * rng.uniform(0.2, 1, (int(x[-1] / 1.4) + 1, 1))
    texture[np.ix_(window, np.mod(x, 1.4) > 0.2)] = panes[(x / 1.4).astype(int)][np.mod(x, 1.4) > 0.2]
    board = (y > shop - 0.8) & (y < shop - 0.15)
    texture[board] = uniform_colour(rng, 30, 220)


def paint_building(
    canvas: Canvas, rng: np.random.Generator, side: int, x: float, z0: float, z1: float, high: float
) -> None:
    """Paint a house whose front stands at x on the given side (-1 left, 1 right), from z0 to z1."""
    z0 = max(z0, NEAR)
    colour, deep = facade_colour(rng), rng.uniform(8, 14)
    scale = float(np.clip(canvas.camera.focal / z0, 2, 7))
    if high < 12 and rng.random() < 0.6:
        _paint_roof(canvas, rng, side, x, z0, z1, high, deep)
    if z0 > NEAR:
        left, right = sorted((x, x + side * deep))
        gable = np.array([(left, high, z0), (right, high, z0), (right, 0, z0), (left, 0, z0)])
        texture = partial(facade_texture, rng, canvas, deep, high, colour, scale * 0.7)
        canvas.panel(gable, texture, BUILDING, FACING_CAMERA)
    texture = partial(facade_texture, rng, canvas, z1 - z0, high, colour, scale)
    _paint_front(canvas, side, x, z0, z1, high, texture, BUILDING)


def _paint_front(
    canvas: Canvas,
    side: int,
    x: float,
    z0: float,
    z1: float,
    high: float,
    texture: Callable[[], np.ndarray],
    label: int,
) -> None:
    """Map a texture onto a vertical plane along the street at x; on the right side, its left end is the far one."""
    left, right = (z1, z0) if side > 0 else (z0, z1)
    corners = np.array([(x, high, left), (x, high, right), (x, 0, right), (x, 0, left)])
    canvas.panel(corners, texture, label, np.array([-side, 0.0, 0.0]))


def _paint_roof(
    canvas: Canvas, rng: np.random.Generator, side: int, x: float, z0: float, z1: float, high: float, deep: float
) -> None:
    ridge_x, ridge_y = x + side * deep / 2, high + rng.uniform(2, 4)
    tiles = uniform_colour(rng, (70, 45, 40), (160, 80, 60)) if rng.random() < 0.6 else uniform_colour(rng, 45, 95)
    slope = np.array([(x, high, z0), (ridge_x, ridge_y, z0), (ridge_x, ridge_y, z1), (x, high, z1)])
    canvas.polygon(slope, tiles, BUILDING, np.array([-side * 0.5, 0.87, 0.0]))
    gable = np.array([(x, high, z0), (ridge_x, ridge_y, z0), (x + side * deep, high, z0)])
    canvas.polygon(gable, facade_colour(rng), BUILDING, FACING_CAMERA)


def paint_street_end(canvas: Canvas, rng: np.random.Generator, z: float) -> None:
    """Paint houses across the end of the street, facing the camera."""
    middle = canvas.camera.x - canvas.camera.bend * z * z / 2
    x, last = middle - 1.2 * z - rng.uniform(0, 10), middle + 1.2 * z
    scale = float(np.clip(canvas.camera.focal / z, 2, 7))
    while x < last:
        wide, high = rng.uniform(9, 22), rng.uniform(5, 20)
        corners = np.array([(x, high, z), (x + wide, high, z), (x + wide, 0, z), (x, 0, z)])
        texture = partial(facade_texture, rng, canvas, wide, high, facade_colour(rng), scale)
        canvas.panel(corners, texture, BUILDING, FACING_CAMERA)
        x += wide + (rng.uniform(2, 8) if rng.random() < 0.2 else 0)


def wall_texture(rng: np.random.Generator, canvas: Canvas, wide: float, high: float) -> np.ndarray:
    """Return a wall of stones, slabs or concrete with a coping, (h, w, 3) float32."""
    scale = 8
    y, x = np.arange(int(high * scale))[::-1] / scale, np.arange(max(4, int(wide * scale))) / scale
    colour = uniform_colour(rng, 85, 185) * 0.25 + rng.uniform(70, 180) * rng.uniform(0.92, 1.06, 3) * 0.75
    texture = canvas.rough(rng, len(y), len(x), colour, 0.07)
    course, stone = (rng.uniform(0.25, 0.5), rng.uniform(0.5, 1.0)) if rng.random() < 0.6 else (9, rng.uniform(2, 4))
    row = np.floor(y / course).astype(int)
    column = np.floor(x[None] / stone + 0.5 * (row[:, None] % 2)).astype(int)
    shades = rng.uniform(0.78, 1.15, (row.max() + 1, column.max() + 1)).astype(np.float32)
    texture *= cv2.merge([shades[row[:, None], column]] * 3)
    texture[y > high - 0.25] = colour * rng.uniform(0.6, 1.25)
    return texture


def fence_texture(rng: np.random.Generator, _canvas: Canvas, wide: float, high: float) -> np.ndarray:
    """Return a fence of pickets, rails or wire, (h, w, 4) float32 with alpha from 0 to 1."""
    scale = 12
    y, x = np.arange(int(high * scale))[::-1] / scale, np.arange(max(4, int(wide * scale))) / scale
    kind = rng.choice(["pickets", "rails", "wire"], p=[0.5, 0.25, 0.25])
    post = np.mod(x, 2.4)[None] < 0.17
    if kind == "pickets":
        gap = rng.uniform(0.25, 0.4)
        solid = (np.mod(x, gap)[None] < 0.6 * gap) | (np.abs(y - 0.25 * high) < 0.08)[:, None]
        solid = solid | (y > high - 0.16)[:, None] | post
    elif kind == "rails":
        solid = (np.mod(y, 0.5) < 0.24)[:, None] | post
    else:
        solid = (np.mod(x[None] + y[:, None], 0.3) < 0.1) | (np.mod(x[None] - y[:, None], 0.3) < 0.1)
        solid = solid | (y > high - 0.12)[:, None] | post
    wood, white, dark = ((90, 60, 35), (150, 105, 70)), ((190,) * 3, (235,) * 3), ((30,) * 3, (75,) * 3)
    texture = np.empty((len(y), len(x), 4), np.float32)
    texture[..., :3] = uniform_colour(rng, *(wood, white, dark)[rng.integers(3)])
    texture[..., :3] *= 1 + 0.06 * rng.standard_normal((1, len(x), 1), dtype=np.float32)
    texture[..., 3] = np.where(solid, 1.0, 0.12)
    return texture


def paint_barrier(
    canvas: Canvas, rng: np.random.Generator, kind: str, side: int, x: float, z0: float, z1: float
) -> None:
    """Paint a barrier along the street at x; `kind` is "wall" or "fence"."""
    z0 = max(z0, NEAR)
    high = rng.uniform(1.3, 3.6) if kind == "wall" else rng.uniform(1.2, 2.6)
    texture = partial(wall_texture if kind == "wall" else fence_texture, rng, canvas, z1 - z0, high)
    _paint_front(canvas, side, x, z0, z1, high, texture, WALL if kind == "wall" else FENCE)
