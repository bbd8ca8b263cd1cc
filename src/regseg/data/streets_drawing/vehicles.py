"""Cars as solids; trucks, buses and trains as boxes whose sides carry a drawn texture."""

from typing import NamedTuple

import numpy as np

from regseg.data.streets_drawing.canvas import uniform_colour
from regseg.data.streets_drawing.labels import BUS, CAR, TRAIN, TRUCK

GLASS = np.array([38.0, 46.0, 54.0])
TYRE = np.array([24.0, 24.0, 26.0])


class Pose(NamedTuple):
    """Where the middle of an object stands, and where it heads: 0 away from the camera, pi/2 to the right."""

    x: float
    z: float
    heading: float

    def place(self, along, up, right):
        """Street coordinates (..., 3) of points given by metres ahead of, above and right of the object's middle."""
        along, up, right = np.broadcast_arrays(np.asarray(along, float), up, right)
        sin, cos = np.sin(self.heading), np.cos(self.heading)
        return np.stack([self.x + along * sin + right * cos, up, self.z + along * cos - right * sin], axis=-1)


# Outlines seen from the right, from the rear bumper over the roof to the front: (share of the length, share of the height).
CAR_BODIES = {
    "saloon": dict(
        size=(4.5, 1.8, 1.45),
        outline=[(-0.5, 0.17), (-0.5, 0.58), (-0.34, 0.66), (-0.2, 1), (0.1, 1), (0.26, 0.66), (0.47, 0.54), (0.5, 0.17)],
        windows=[[(-0.29, 0.67), (-0.19, 0.93), (-0.05, 0.94), (-0.05, 0.67)], [(-0.02, 0.67), (-0.02, 0.94), (0.09, 0.94), (0.21, 0.67)]],
        glass=(2, 4),
    ),
    "hatchback": dict(
        size=(3.9, 1.75, 1.5),
        outline=[(-0.5, 0.17), (-0.5, 0.6), (-0.42, 0.97), (-0.3, 1), (0.08, 1), (0.27, 0.64), (0.47, 0.54), (0.5, 0.17)],
        windows=[[(-0.4, 0.66), (-0.35, 0.92), (-0.1, 0.94), (-0.1, 0.66)], [(-0.06, 0.66), (-0.06, 0.94), (0.07, 0.93), (0.22, 0.66)]],
        glass=(1, 4),
    ),
    "suv": dict(
        size=(4.6, 1.9, 1.75),
        outline=[(-0.5, 0.2), (-0.5, 0.6), (-0.45, 0.97), (-0.3, 1), (0.12, 1), (0.25, 0.66), (0.48, 0.58), (0.5, 0.2)],
        windows=[[(-0.43, 0.67), (-0.39, 0.92), (-0.12, 0.94), (-0.12, 0.67)], [(-0.08, 0.67), (-0.08, 0.94), (0.1, 0.93), (0.2, 0.67)]],
        glass=(1, 4),
    ),
    "van": dict(
        size=(5.0, 1.95, 2.1),
        outline=[(-0.5, 0.15), (-0.5, 0.6), (-0.49, 0.97), (-0.45, 1), (0.28, 1), (0.41, 0.62), (0.49, 0.5), (0.5, 0.15)],
        windows=[[(0.0, 0.6), (0.0, 0.9), (0.25, 0.9), (0.35, 0.6)]],
        glass=(1, 4),
    ),
}  # fmt: skip


def vehicle_colour(rng):
    """The same paints for every vehicle, so that colour does not tell a car from a bus."""
    kinds = [(225, 225, 225), (150, 152, 155), (85, 88, 92), (32, 32, 36), (165, 35, 35), (40, 65, 140), (45, 95, 60)]
    kinds += [(215, 175, 45), (190, 175, 140)]
    share = [0.2, 0.17, 0.14, 0.14, 0.12, 0.09, 0.05, 0.05, 0.04]
    return np.clip(np.array(kinds[rng.choice(len(kinds), p=share)]) + rng.uniform(-22, 22, 3) + rng.uniform(-15, 15), 15, 245)


def _normals(corners):
    """Unit normals (F, 3) of quadrangles (F, 4, 3)."""
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


def draw_shadow(canvas, pose, length, width):
    margin = 0.25
    along = np.array([-1, 1, 1, -1]) * (length / 2 + margin)
    right = np.array([-1, -1, 1, 1]) * (width / 2 + margin)
    canvas.shadow(pose.place(along, 0.0, right), 0.35)
    canvas.shadow(pose.place(along * 0.93, 0.0, right * 0.88), 0.5)


def draw_car(canvas, rng, pose):
    kind = rng.choice(list(CAR_BODIES), p=[0.35, 0.3, 0.22, 0.13])
    body = CAR_BODIES[kind]
    length, width, height = np.array(body["size"]) * rng.uniform(0.94, 1.06, 3)
    size = np.array([length, height])
    paint = vehicle_colour(rng)
    draw_shadow(canvas, pose, length, width)
    outline = np.array(body["outline"]) * size
    _draw_tyre_gaps(canvas, pose, length, width, height)
    _draw_shell(canvas, pose, outline, width, height, paint, body["glass"])
    side = _visible_side(canvas, pose)
    if side:
        _draw_car_side(canvas, pose, side, outline, [np.array(w) * size for w in body["windows"]], width, paint)
    _draw_car_lights(canvas, pose, length, width, height)


def _draw_tyre_gaps(canvas, pose, length, width, height):
    """Tyres below the bumpers, as seen from the front or the rear."""
    end = -length * 0.42 if np.cos(pose.heading) > 0 else length * 0.42
    for right in (-width * 0.42, width * 0.42):
        quad = pose.place(end, np.array([0, 0, 1, 1]) * height * 0.25, right + np.array([-0.11, 0.11, 0.11, -0.11]))
        canvas.polygon(quad, TYRE, CAR)


def _narrowing(up, height):
    """How far the cabin leans in: share of the half width at a height."""
    return 1 - 0.18 * np.clip((up / height - 0.62) / 0.38, 0, 1)


def _draw_shell(canvas, pose, outline, width, height, paint, glass):
    """The strip that runs over the car from bumper to bumper; faces turned away from the camera are left out."""
    half = width / 2 * _narrowing(outline[:, 1], height)
    left, right = pose.place(outline[:, 0], outline[:, 1], -half), pose.place(outline[:, 0], outline[:, 1], half)
    faces = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)
    normals = _normals(faces)
    eye = np.array([canvas.camera.x, canvas.camera.y, 0.0])
    middles = faces.mean(1)
    normals *= np.sign(((middles - pose.place(0.0, height * 0.4, 0.0)) * normals).sum(1, keepdims=True))
    for index in np.argsort(-np.linalg.norm(middles - eye, axis=1)):
        if np.dot(eye - middles[index], normals[index]) <= 0:
            continue
        face, normal = faces[index], normals[index]
        canvas.polygon(face, paint, CAR, normal)
        if index in glass:
            middle = face.mean(0)
            canvas.polygon(middle + (face - middle) * 0.84, GLASS + canvas.light.haze * 0.12, CAR, normal)


def _visible_side(canvas, pose):
    """1 if the camera sees the right side of an object at this pose, -1 for the left one, 0 if it is hidden."""
    across = (canvas.camera.x - pose.x) * np.cos(pose.heading) - (0 - pose.z) * np.sin(pose.heading)
    return 0 if abs(across) < 0.9 else int(np.sign(across))


def _draw_car_side(canvas, pose, side, outline, windows, width, paint):
    height = outline[:, 1].max()
    normal = pose._replace(x=0, z=0).place(0.0, 0.0, float(side))
    half = side * width / 2 * _narrowing(outline[:, 1], height)
    canvas.polygon(pose.place(outline[:, 0], outline[:, 1], half), paint, CAR, normal)
    for window in windows:
        inset = side * width / 2 * _narrowing(window[:, 1], height)
        canvas.polygon(pose.place(window[:, 0], window[:, 1], inset), GLASS, CAR, normal)
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    length = np.ptp(outline[:, 0])
    for along in (-0.31 * length, 0.31 * length):
        for radius, colour in ((0.33, TYRE), (0.19, np.array([120.0, 120, 124]))):
            wheel = pose.place(along + radius * np.cos(turn), 0.33 + radius * np.sin(turn), side * width / 2)
            canvas.polygon(wheel, colour, CAR, normal)


def _draw_car_lights(canvas, pose, length, width, height):
    """Lamps, number plate and grille on the end that faces the camera."""
    rear = np.cos(pose.heading) > 0
    if abs(np.cos(pose.heading)) < 0.15:
        return
    end = -length / 2 if rear else length / 2
    night, light = canvas.light.night, canvas.light
    lamp = np.array([190.0, 25, 25]) if rear else np.array([225.0, 225, 215])
    for right in (-width * 0.4, width * 0.4):
        up = height * (np.array([0.44, 0.44, 0.56, 0.56]) if rear else np.array([0.4, 0.4, 0.5, 0.5]))
        quad = pose.place(end, up, right + np.array([-0.17, 0.17, 0.17, -0.17]))
        canvas.polygon(quad, light.emitted(lamp) if night else lamp, CAR)
        if night:
            canvas.glow(pose.place(end, height * 0.48, right), 0.35 if rear else 0.6, lamp)
    plate, colour = (0.3, (220.0, 220, 210)) if rear else (0.26, (215.0, 215, 205))
    up = height * (plate + np.array([0, 0, 0.08, 0.08]))
    canvas.polygon(pose.place(end, up, np.array([-0.26, 0.26, 0.26, -0.26])), np.array(colour), CAR)
    if not rear:
        up = height * np.array([0.38, 0.38, 0.48, 0.48])
        canvas.polygon(pose.place(end, up, width * np.array([-0.22, 0.22, 0.22, -0.22])), TYRE * 1.5, CAR)


# --- trucks, buses and trains -----------------------------------------------------------------------------------------


def draw_box(canvas, pose, size, clearance, textures, label, roof):
    """A box (length, width, height) with textures for its "side", "front" and "rear"; the side's texture starts at the rear."""
    length, width, height = size
    eye = np.array([canvas.camera.x, canvas.camera.y, 0.0])
    heading = pose._replace(x=0.0, z=0.0)
    low, high = clearance, height
    top = pose.place(length / 2 * np.array([-1, 1, 1, -1]), high, width / 2 * np.array([-1, -1, 1, 1]))
    if canvas.camera.y > high:
        canvas.polygon(top, roof, label, np.array([0.0, 1.0, 0.0]))
    for end, name in ((1, "front"), (-1, "rear")):
        normal = heading.place(float(end), 0.0, 0.0)
        right = end * width / 2 * np.array([1, -1, -1, 1])  # seen from outside, the front's left is the box's right
        corners = pose.place(end * length / 2, np.array([high, high, low, low]), right)
        if np.dot(eye - corners.mean(0), normal) > 0:
            canvas.panel(corners, textures[name], label, normal)
    for side in (1, -1):
        normal = heading.place(0.0, 0.0, float(side))
        along = length / 2 * np.array([-1, 1, 1, -1])
        corners = pose.place(along, np.array([high, high, low, low]), side * width / 2)
        texture = textures["side"]
        if side < 0:
            corners, texture = corners[[1, 0, 3, 2]], texture[:, ::-1]
        if np.dot(eye - corners.mean(0), normal) > 0:
            canvas.panel(corners, texture, label, normal)


def draw_wheels(canvas, pose, at, width, label, radius=0.48):
    """Wheels on both sides, of which the box hides the far ones: draw them first and the near ones again after."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    side = _visible_side(canvas, pose)
    for along in at if side else ():
        for size, colour in ((radius, TYRE), (0.5 * radius, np.array([105.0, 105, 108]))):
            wheel = pose.place(along + size * np.cos(turn), radius + size * np.sin(turn), side * width / 2)
            canvas.polygon(wheel, colour, label)


def _plain(rng, wide, high, colour, scale=10):
    texture = np.empty((max(4, int(high * scale)), max(4, int(wide * scale)), 3), np.float32)
    texture[:] = colour
    texture *= 1 + 0.025 * rng.standard_normal((*texture.shape[:2], 1), dtype=np.float32)
    return texture


def _spot(texture, left, right, top, bottom, colour):
    """Fills a rectangle given in shares of the texture's width and height."""
    height, width = texture.shape[:2]
    texture[int(top * height) : max(int(bottom * height), int(top * height) + 1), int(left * width) : int(right * width)] = colour


def _pane(canvas, rng):
    if canvas.light.night:
        return canvas.light.emitted((215, 200, 150))
    return GLASS * rng.uniform(0.8, 1.5) + canvas.light.haze * rng.uniform(0, 0.2)


def _end_texture(canvas, rng, width, height, paint, front, tall_glass):
    """The front (windscreen, headlights) or rear (window, red lamps) of a bus or train."""
    texture = _plain(rng, width, height, paint)
    _spot(texture, 0.08, 0.92, 0.16, tall_glass if front else 0.45, _pane(canvas, rng))
    board = canvas.light.emitted((255, 170, 40)) if front else paint * 0.7
    _spot(texture, 0.2, 0.8, 0.04, 0.12, (20, 20, 20))
    _spot(texture, 0.3, 0.7, 0.06, 0.11, board)
    lamp = np.array([235.0, 235, 220]) if front else np.array([190.0, 20, 20])
    lamp = canvas.light.emitted(lamp) if canvas.light.night else lamp
    for left in (0.07, 0.77):
        _spot(texture, left, left + 0.16, 0.74, 0.82, lamp)
    _spot(texture, 0, 1, 0.93, 1, (35, 35, 38))
    return texture


def draw_bus(canvas, rng, pose):
    length, width, height = rng.uniform(9, 12.5), 2.5, rng.uniform(2.9, 3.3)
    paint, trim = vehicle_colour(rng), vehicle_colour(rng)
    draw_shadow(canvas, pose, length, width)
    side = _plain(rng, length, height, paint)
    if rng.random() < 0.5:
        _spot(side, 0, 1, rng.uniform(0.55, 0.7), 0.95, trim)
    bays = rng.integers(5, 8)
    for bay in range(bays):
        _spot(side, (bay + 0.08) / bays, (bay + 0.93) / bays, 0.16, 0.52, _pane(canvas, rng))
    for door in (0.28, 0.86):
        _spot(side, door, door + 0.09, 0.16, 0.93, _pane(canvas, rng))
        _spot(side, door + 0.042, door + 0.05, 0.16, 0.93, trim * 0.5)
    _spot(side, 0, 1, 0.95, 1, (30, 30, 32))
    ends = {name: _end_texture(canvas, rng, width, height, paint, name == "front", 0.62) for name in ("front", "rear")}
    draw_box(canvas, pose, (length, width, height), 0.3, {"side": side, **ends}, BUS, paint * 0.8)
    draw_wheels(canvas, pose, (-0.28 * length, 0.32 * length), width, BUS)


def draw_truck(canvas, rng, pose):
    """A cab and, behind it, a box, a tarpaulin or an open load."""
    length, width, height = rng.uniform(6, 9), 2.45, rng.uniform(2.9, 3.7)
    cab = rng.uniform(1.7, 2.1)
    paint, cargo = vehicle_colour(rng), vehicle_colour(rng)
    draw_shadow(canvas, pose, length, width)
    cab_pose = Pose(*pose.place((length - cab) / 2, 0.0, 0.0)[[0, 2]], pose.heading)
    load_pose = Pose(*pose.place(-cab / 2 - 0.1, 0.0, 0.0)[[0, 2]], pose.heading)
    away = np.cos(pose.heading) > 0
    parts = [
        lambda: _draw_cab(canvas, rng, cab_pose, (cab, width * 0.97, rng.uniform(2.4, 2.9)), paint),
        lambda: _draw_load(canvas, rng, load_pose, (length - cab - 0.2, width, height), cargo),
    ]
    for part in parts if away else parts[::-1]:
        part()
    draw_wheels(canvas, pose, (-0.36 * length, -0.22 * length, 0.36 * length), width, TRUCK)


def _draw_cab(canvas, rng, pose, size, paint):
    length, width, height = size
    front = _plain(rng, width, height, paint)
    _spot(front, 0.07, 0.93, 0.1, 0.46, _pane(canvas, rng))
    _spot(front, 0.18, 0.82, 0.56, 0.74, TYRE * 1.6)
    lamp = canvas.light.emitted((235, 235, 220)) if canvas.light.night else (235, 235, 220)
    for left in (0.04, 0.82):
        _spot(front, left, left + 0.14, 0.78, 0.86, lamp)
    _spot(front, 0, 1, 0.92, 1, (40, 40, 42))
    side = _plain(rng, length, height, paint)
    _spot(side, 0.4, 0.9, 0.12, 0.45, _pane(canvas, rng))
    _spot(side, 0.36, 0.38, 0.1, 0.9, paint * 0.6)
    _spot(side, 0, 1, 0.88, 1, (40, 40, 42))
    draw_box(canvas, pose, size, 0.35, {"side": side, "front": front, "rear": _plain(rng, width, height, paint)}, TRUCK, paint)


def _draw_load(canvas, rng, pose, size, paint):
    length, width, height = size
    side, rear = _plain(rng, length, height, paint), _plain(rng, width, height, paint)
    kind = rng.choice(["box", "tarpaulin", "skip"])
    if kind == "tarpaulin":
        side *= 1 + 0.1 * np.sin(np.arange(side.shape[1]) / side.shape[1] * rng.uniform(30, 50))[None, :, None]
    elif kind == "box":
        _spot(side, 0.2, 0.8, 0.25, 0.5, vehicle_colour(rng))
    else:
        size = (length, width, height * 0.68)
        side[:, :: max(4, side.shape[1] // 8)] *= 0.7
    _spot(rear, 0.04, 0.96, 0.05, 0.78, paint * rng.uniform(0.75, 1.1))
    _spot(rear, 0.485, 0.515, 0.05, 0.78, paint * 0.45)
    for texture in (side, rear):
        _spot(texture, 0, 1, 0.82, 1, (38, 38, 40))
    for left in (0.06, 0.8):
        _spot(rear, left, left + 0.14, 0.85, 0.91, (195, 25, 25))
    _spot(rear, 0.4, 0.6, 0.85, 0.91, (215, 210, 200))
    draw_box(canvas, pose, size, 0.4, {"side": side, "front": rear, "rear": rear}, TRUCK, paint * 0.85)


def draw_train(canvas, rng, pose):
    """A tram of two or three cars on its rails; the middle of the first one stands at the pose."""
    cars, length, width, height = int(rng.integers(2, 4)), rng.uniform(9, 11), 2.5, rng.uniform(3.3, 3.7)
    paint, trim = vehicle_colour(rng), vehicle_colour(rng)
    side = _plain(rng, length, height, paint)
    _spot(side, 0.01, 0.99, 0.17, 0.55, GLASS)
    bays = 6
    for bay in range(bays):
        _spot(side, (bay + 0.04) / bays, (bay + 0.96) / bays, 0.19, 0.53, _pane(canvas, rng))
    for door in (0.2, 0.68):
        _spot(side, door, door + 0.12, 0.17, 0.92, _pane(canvas, rng))
        _spot(side, door + 0.055, door + 0.065, 0.17, 0.92, trim)
    _spot(side, 0, 1, 0.62, 0.72, trim)
    _spot(side, 0, 1, 0.9, 1, (45, 45, 48))
    ends = {name: _end_texture(canvas, rng, width, height, paint, name == "front", 0.58) for name in ("front", "rear")}
    for end in ends.values():
        _spot(end, 0, 1, 0.62, 0.7, trim)
    order = range(cars)[::-1]  # far cars first
    step = (length + 0.5) * (1 if np.cos(pose.heading) >= 0 else -1)
    for car in order:
        at = Pose(*pose.place(car * step, 0.0, 0.0)[[0, 2]], pose.heading)
        draw_shadow(canvas, at, length, width)
        draw_box(canvas, at, (length, width, height), 0.2, {"side": side, **ends}, TRAIN, paint * 0.6)
        roof = uniform_colour(rng, 60, 130)
        unit = at._replace()
        draw_box(canvas, unit, (length * 0.4, width * 0.7, height + 0.35), height, dict.fromkeys(("side", "front", "rear"), _plain(rng, 2, 1, roof)), TRAIN, roof)
