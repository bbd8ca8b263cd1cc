"""A street scene, painted from far to near."""

import numpy as np

from regseg.streets.backdrop import paint_barrier, paint_building, paint_sky, paint_skyline, paint_street_end
from regseg.streets.canvas import Canvas
from regseg.streets.cast import (
    FAR,
    Cast,
    add_crossing_traffic,
    add_furniture,
    add_parked,
    add_persons,
    add_traffic,
    add_two_wheelers,
    sample_guests,
)
from regseg.streets.furniture import draw_hedge, draw_tree
from regseg.streets.ground import paint_ground
from regseg.streets.labels import EGO_VEHICLE, OUT_OF_ROI
from regseg.streets.layout import Layout, Side, sample_ground, sample_layout
from regseg.streets.lens import develop, sample_camera, sample_light
from regseg.streets.vehicles import vehicle_colour


def draw_scene(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Create a street scene.

    Args:
        rng: the random stream; the scene depends on nothing else.
        height: height of the image, in pixels.
        width: width of the image, in pixels.

    Returns:
        The RGB image (height, width, 3) uint8 and its Cityscapes label IDs (height, width) uint8.
    """
    guests = sample_guests(rng)
    layout = sample_layout(rng, tram="train" in guests or rng.random() < 0.06)
    left, right = layout.camera_range(off_road=rng.random() < 0.25)
    canvas = Canvas(sample_camera(rng, height, width, left, right), sample_light(rng), rng)
    paint_surroundings(canvas, rng, layout)
    cast = Cast(canvas, rng, end=layout.crossing[1] + 2.5 if layout.crossing and layout.ends else FAR)
    for side in layout.sides:
        add_frontages(cast, rng, layout, side)
    add_traffic(cast, rng, layout, guests)
    add_parked(cast, rng, layout)
    add_crossing_traffic(cast, rng, layout)
    add_two_wheelers(cast, rng, layout, guests)
    add_persons(cast, rng, layout)
    add_furniture(cast, rng, layout)
    cast.draw()
    if rng.random() < 0.2:
        paint_bonnet(canvas, rng)
    image, labels = develop(canvas, rng), canvas.labels
    if rng.random() < 0.06:
        paint_border(image, labels)
    if rng.random() < 0.5:  # left-hand traffic
        image, labels = image[:, ::-1].copy(), labels[:, ::-1].copy()
    return image, labels


def paint_surroundings(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> None:
    """Paint sky, skyline, ground, and the houses at the end of the street."""
    paint_sky(canvas, rng)
    for z in (400.0, 180.0):
        if rng.random() < 0.75:
            paint_skyline(canvas, rng, z)
    paint_ground(canvas, rng, sample_ground(rng, layout, canvas.light))
    if layout.crossing and layout.ends:
        paint_street_end(canvas, rng, layout.crossing[1] + rng.uniform(2.6, 6))


def add_frontages(cast: Cast, rng: np.random.Generator, layout: Layout, side: Side) -> None:
    """Add the houses, walls, fences, hedges or trees of one side."""
    x, high = side.sign * layout.frontage_at(side), rng.uniform(5, 18)
    paint = _paint_fenced if side.frontage == "buildings" and rng.random() < 0.15 else _paint_frontage
    for z0, z1 in _plots(rng, layout):
        cast.add_frontage(z1, paint, side, x, z0, z1, high)


def _plots(rng: np.random.Generator, layout: Layout) -> list[tuple[float, float]]:
    """Return the z range of each house of one side, from near to far, outside the crossing road."""
    z, plots = rng.uniform(-12, 2), []
    while z < FAR:
        long = rng.uniform(8, 20)
        plots.append((z, z + long))
        z += long + (rng.uniform(2, 9) if rng.random() < 0.15 else 0)
    if layout.crossing:
        low, high = layout.crossing[0] - 2.5, np.inf if layout.ends else layout.crossing[1] + 2.5
        before = [(z0, min(z1, low)) for z0, z1 in plots if z0 < low - 4]
        plots = before + [(max(z0, high), z1) for z0, z1 in plots if z1 > high + 4]
    return [plot for plot in plots if plot[1] > 4]


def _paint_fenced(
    canvas: Canvas, rng: np.random.Generator, side: Side, x: float, z0: float, z1: float, high: float
) -> None:
    paint_building(canvas, rng, side.sign, x + side.sign * rng.uniform(3, 6), z0, z1, high)
    paint_barrier(canvas, rng, "fence", side.sign, x, z0, z1)


def _paint_frontage(
    canvas: Canvas, rng: np.random.Generator, side: Side, x: float, z0: float, z1: float, high: float
) -> None:
    out = side.sign
    if side.frontage == "buildings":
        setback = rng.uniform(0, 1.5) * (rng.random() < 0.3)
        paint_building(canvas, rng, out, x + out * setback, z0, z1, high * rng.uniform(0.7, 1.3))
    elif side.frontage in ("wall", "fence"):
        behind = rng.random()
        if behind < 0.35:
            paint_building(canvas, rng, out, x + out * rng.uniform(3, 8), z0, z1, high)
        elif behind < 0.75:
            _paint_trees(canvas, rng, x + out * 3.5, z0, z1, 6.0)
        paint_barrier(canvas, rng, side.frontage, out, x, z0, z1)
    elif side.frontage == "hedge":
        draw_hedge(canvas, rng, x, max(z0, 2.5), z1)
    elif side.frontage == "trees":
        _paint_trees(canvas, rng, x + out * 2, z0, z1, rng.uniform(3, 6))


def _paint_trees(canvas: Canvas, rng: np.random.Generator, x: float, z0: float, z1: float, every: float) -> None:
    for z in np.arange(z1, max(z0, 4), -every):
        if canvas.camera.sees(x, z, 5.0):
            draw_tree(canvas, rng, x + rng.uniform(-1.5, 1.5), z)


def paint_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint the bonnet of the ego vehicle at the bottom of the image; it is not evaluated."""
    height, width = canvas.labels.shape
    middle, rise = rng.uniform(0.3, 0.7) * width, rng.uniform(0.06, 0.15) * height
    turn = np.linspace(np.pi, 2 * np.pi, 24)
    bonnet = np.column_stack([middle + 0.75 * width * np.cos(turn), height + 1.2 * rise * np.sin(turn)])
    colour = vehicle_colour(rng)
    canvas.fill(bonnet, canvas.light.tint(colour * 0.7, 1.0).tolist(), EGO_VEHICLE)
    canvas.fill(bonnet + np.array([0, 0.25 * rise]), canvas.light.tint(colour, 1.0).tolist())


def paint_border(image: np.ndarray, labels: np.ndarray) -> None:
    """Paint a black border in place, as rectification leaves it in real images; it is not evaluated."""
    edge = max(len(labels) // 64, 1)
    for rim in (np.s_[:edge], np.s_[-edge:], np.s_[:, :edge], np.s_[:, -edge:]):
        image[rim], labels[rim] = 0, OUT_OF_ROI
