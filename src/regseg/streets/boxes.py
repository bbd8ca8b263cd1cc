"""Trucks, buses and trains: boxes with textured sides."""

import numpy as np

from regseg.streets.canvas import Canvas, Colour, uniform_colour
from regseg.streets.labels import BUS, TRAIN, TRUCK
from regseg.streets.vehicles import GLASS, TYRE, Pose, draw_shadow, draw_wheels, vehicle_colour

SKIRT = np.array([38.0, 38, 40])
WHITE_LAMP = np.array([235.0, 235, 220])
RED_LAMP = np.array([192.0, 22, 22])


def draw_box(
    canvas: Canvas,
    pose: Pose,
    size: tuple[float, float, float],
    clearance: float,
    textures: tuple[np.ndarray, np.ndarray, np.ndarray],
    label: int,
) -> None:
    """Paint a box.

    Args:
        canvas: the canvas.
        pose: position and heading.
        size: (length, width, height), in metres.
        clearance: height of its bottom above the ground, in metres.
        textures: textures of its side (from the rear to the front), its front and its rear.
        label: label ID.
    """
    length, width, height = size
    side_texture, front, rear = textures
    up = np.array([height, height, clearance, clearance])
    if canvas.camera.y > height:
        top = pose.place(length / 2 * np.array([-1, 1, 1, -1]), height, width / 2 * np.array([-1, -1, 1, 1]))
        canvas.polygon(top, side_texture[0].mean(0) * 0.8, label, np.array([0.0, 1.0, 0.0]))
    for end, texture in ((1, front), (-1, rear)):
        right = end * width / 2 * np.array([1, -1, -1, 1])  # seen from outside, the front's left is the box's right
        _hang(canvas, pose.place(end * length / 2, up, right), texture, label, pose.direction(end, 0))
    for side, texture in ((1, side_texture), (-1, side_texture[:, ::-1])):
        along = side * length / 2 * np.array([-1, 1, 1, -1])
        _hang(canvas, pose.place(along, up, side * width / 2), texture, label, pose.direction(0, side))


def _hang(canvas: Canvas, corners: np.ndarray, texture: np.ndarray, label: int, normal: np.ndarray) -> None:
    if np.dot(canvas.camera.eye - corners.mean(0), normal) > 0:
        canvas.panel(corners, lambda: texture, label, normal)


def _sheet(canvas: Canvas, rng: np.random.Generator, wide: float, high: float, colour: np.ndarray) -> np.ndarray:
    """Return a texture of painted metal, wide x high metres, at ten pixels per metre."""
    height, width = max(4, int(10 * high)), max(4, int(10 * wide))
    return canvas.rough(rng, height, width, colour, 0.025)


def _spot(texture: np.ndarray, left: float, right: float, top: float, bottom: float, colour: Colour) -> None:
    """Fill a rectangle given as fractions of the texture's width and height."""
    height, width = texture.shape[:2]
    row, column = int(top * height), int(left * width)
    texture[row : max(int(bottom * height), row + 1), column : max(int(right * width), column + 1)] = colour


def _pane(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    if canvas.light.night:
        return canvas.light.emitted((170, 155, 115)) * rng.uniform(0.8, 1.1)
    return GLASS * rng.uniform(0.8, 1.5) + canvas.light.haze * rng.uniform(0, 0.2)


def _lamps(canvas: Canvas, texture: np.ndarray, colour: np.ndarray, top: float, bottom: float) -> None:
    for left in (0.06, 0.78):
        _spot(texture, left, left + 0.16, top, bottom, canvas.light.emitted(colour) if canvas.light.night else colour)


def _coach_end(
    canvas: Canvas, rng: np.random.Generator, width: float, height: float, paint: np.ndarray, front: bool
) -> np.ndarray:
    """Return the front (windscreen, destination, headlights) or rear (window, red lamps) of a bus or train."""
    texture = _sheet(canvas, rng, width, height, paint)
    _spot(texture, 0.08, 0.92, 0.16, 0.6 if front else 0.45, _pane(canvas, rng))
    _spot(texture, 0.2, 0.8, 0.04, 0.12, (20, 20, 20))
    _spot(texture, 0.3, 0.7, 0.06, 0.11, canvas.light.emitted((255, 170, 40)) if front else paint * 0.7)
    _lamps(canvas, texture, WHITE_LAMP if front else RED_LAMP, 0.74, 0.82)
    _spot(texture, 0, 1, 0.93, 1, SKIRT)
    return texture


def _coach_side(
    canvas: Canvas,
    rng: np.random.Generator,
    length: float,
    height: float,
    paint: np.ndarray,
    bays: int,
    doors: tuple[float, ...],
) -> np.ndarray:
    """Return a side with a row of windows, and doors that start at these fractions of the length."""
    texture = _sheet(canvas, rng, length, height, paint)
    for bay in range(bays):
        _spot(texture, (bay + 0.07) / bays, (bay + 0.94) / bays, 0.17, 0.53, _pane(canvas, rng))
    for door in doors:
        _spot(texture, door, door + 0.1, 0.16, 0.92, _pane(canvas, rng))
        _spot(texture, door + 0.046, door + 0.054, 0.16, 0.92, paint * 0.5)
    _spot(texture, 0, 1, 0.93, 1, SKIRT)
    return texture


def draw_bus(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Paint a bus."""
    length, width, height = rng.uniform(9, 12.5), 2.5, rng.uniform(2.9, 3.3)
    paint = vehicle_colour(rng)
    side = _coach_side(canvas, rng, length, height, paint, int(rng.integers(5, 8)), (0.28, 0.86))
    if rng.random() < 0.5:
        _spot(side, 0, 1, rng.uniform(0.58, 0.7), 0.93, vehicle_colour(rng))
    front, rear = (_coach_end(canvas, rng, width, height, paint, is_front) for is_front in (True, False))
    draw_shadow(canvas, pose, length, width)
    draw_box(canvas, pose, (length, width, height), 0.3, (side, front, rear), BUS)
    draw_wheels(canvas, pose, (-0.28 * length, 0.32 * length), width, 0.48, BUS)


def draw_train(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Paint a tram of two or three cars on its rails; the nearest car stands at the pose."""
    cars, length, width, height = int(rng.integers(2, 4)), rng.uniform(9, 11), 2.5, rng.uniform(3.3, 3.7)
    paint, trim, roof = vehicle_colour(rng), vehicle_colour(rng), uniform_colour(rng, (60, 60, 60), (130, 130, 130))
    side = _coach_side(canvas, rng, length, height, paint, 6, (0.2, 0.68))
    front, rear = (_coach_end(canvas, rng, width, height, paint, is_front) for is_front in (True, False))
    for texture in (side, front, rear):
        _spot(texture, 0, 1, 0.62, 0.71, trim)
    step = length + 0.5 if pose.leads_away() else -length - 0.5
    for car in range(cars)[::-1]:  # from far to near
        at = pose.moved(car * step)
        draw_shadow(canvas, at, length, width)
        draw_box(canvas, at, (length, width, height), 0.2, (side, front, rear), TRAIN)
        unit = _sheet(canvas, rng, 2, 1, roof)  # the equipment on the roof
        draw_box(canvas, at, (length * 0.4, width * 0.7, height + 0.35), height, (unit, unit, unit), TRAIN)


def draw_truck(canvas: Canvas, rng: np.random.Generator, pose: Pose) -> None:
    """Paint a truck: a cab and a box, a tarpaulin or an open load."""
    length, width, height, cab = rng.uniform(6, 9), 2.45, rng.uniform(2.9, 3.7), rng.uniform(1.7, 2.1)
    parts = [(_draw_cab, (length - cab) / 2, (cab, width * 0.97, rng.uniform(2.4, 2.9)))]
    parts.append((_draw_load, -cab / 2 - 0.1, (length - cab - 0.2, width, height)))
    draw_shadow(canvas, pose, length, width)
    for draw, along, size in parts if pose.leads_away() else parts[::-1]:  # from far to near
        draw(canvas, rng, pose.moved(along), size)
    draw_wheels(canvas, pose, (-0.36 * length, -0.22 * length, 0.36 * length), width, 0.48, TRUCK)


def _draw_cab(canvas: Canvas, rng: np.random.Generator, pose: Pose, size: tuple[float, float, float]) -> None:
    length, width, height = size
    paint = vehicle_colour(rng)
    front, rear = (_sheet(canvas, rng, width, height, paint) for _ in range(2))
    _spot(front, 0.07, 0.93, 0.1, 0.46, _pane(canvas, rng))
    _spot(front, 0.18, 0.82, 0.56, 0.74, TYRE * 1.6)
    _lamps(canvas, front, WHITE_LAMP, 0.78, 0.86)
    side = _sheet(canvas, rng, length, height, paint)
    _spot(side, 0.4, 0.9, 0.12, 0.45, _pane(canvas, rng))
    _spot(side, 0.36, 0.38, 0.1, 0.9, paint * 0.6)
    for texture in (front, side):
        _spot(texture, 0, 1, 0.91, 1, SKIRT)
    draw_box(canvas, pose, size, 0.35, (side, front, rear), TRUCK)


def _draw_load(canvas: Canvas, rng: np.random.Generator, pose: Pose, size: tuple[float, float, float]) -> None:
    length, width, height = size
    paint = vehicle_colour(rng)
    side, rear = _sheet(canvas, rng, length, height, paint), _sheet(canvas, rng, width, height, paint)
    kind = rng.choice(["box", "tarpaulin", "open"])
    if kind == "box":
        _spot(side, 0.2, 0.8, 0.25, 0.5, vehicle_colour(rng))
    elif kind == "tarpaulin":
        folds = np.linspace(0, rng.uniform(30, 50), side.shape[1], dtype=np.float32)
        side *= 1 + 0.1 * np.sin(folds)[None, :, None]
    else:
        size = (length, width, height * 0.68)
        side[:, :: max(4, side.shape[1] // 8)] *= 0.7
    _spot(rear, 0.04, 0.96, 0.05, 0.78, paint * rng.uniform(0.75, 1.1))
    _spot(rear, 0.485, 0.515, 0.05, 0.78, paint * 0.45)
    for texture in (side, rear):
        _spot(texture, 0, 1, 0.82, 1, SKIRT)
    _lamps(canvas, rear, RED_LAMP, 0.85, 0.91)
    _spot(rear, 0.4, 0.6, 0.85, 0.91, (215, 210, 200))
    draw_box(canvas, pose, size, 0.4, (side, rear, rear), TRUCK)
