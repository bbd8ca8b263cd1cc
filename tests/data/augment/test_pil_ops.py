"""Every operation compared with Pillow, on synthetic images and on photographs."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from regseg.data.augment import pil_ops as operations
from regseg.data.augment.transforms import FILL
from regseg.data.datasets.camvid import SPEC as CAMVID
from regseg.data.io import read_image, read_label

ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "color": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}
# Largest difference from Pillow in grey levels: contrast and color because of OpenCV's luma, which differs by one level
# in a few pixels of a thousand, sharpness because OpenCV rounds the 3x3 mean.
TOLERANCE = {"autocontrast": 0, "equalize": 0, "brightness": 0, "contrast": 1, "color": 1, "sharpness": 1, "rotate": 1}
FACTORS = (0.82, 1.18, 0.7, 1.3, 0.6, 1.4, 0.5, 1.5, 1.0, 0.9137)
SIZES = ((1, 1), (1, 7), (2, 2), (3, 3), (3, 8), (17, 23), (64, 33), (90, 140))


def noise(size, low=0, high=256, seed=0):
    return np.random.default_rng(seed).integers(low, high, (*size, 3), np.uint8)


def constant(*color, size=(12, 15)):
    return np.full((*size, 3), color, np.uint8)


def one_channel(channel, value, size=(21, 30)):
    """Noise with one channel at an extreme."""
    image = noise(size, 40, 200)
    image[..., channel] = value
    return image


IMAGES = {
    **{f"noise {height}x{width}": noise((height, width)) for height, width in SIZES},
    **{f"constant {value}": constant(value, value, value) for value in (0, 1, 127, 254, 255)},
    "constant color": constant(200, 10, 97),
    **{f"channel {channel} at {value}": one_channel(channel, value) for channel in range(3) for value in (0, 255)},
    "narrow": noise((40, 30), 100, 120),
    "two colors": np.where(np.eye(20, 31, dtype=bool)[..., None], (255, 3, 90), (0, 4, 91)).astype(np.uint8),
    "rare extremes": np.concatenate([constant(90, 91, 92, size=(30, 30)), noise((1, 30))]),
    "gradient": np.dstack([np.tile(np.arange(256, dtype=np.uint8), (9, 1))] * 3),
}


def difference(ours, pillow):
    assert ours.dtype == np.uint8 and ours.shape == np.asarray(pillow).shape
    return np.abs(ours.astype(int) - np.asarray(pillow)).max()


def photographs(root):
    return [read_image(path) for path in sorted((root / "train").glob("*.*"))[::61]]


@pytest.fixture(params=IMAGES, ids=lambda name: name.replace(" ", "_"))
def image(request):
    return IMAGES[request.param]


# --- histograms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_histograms_are_pillows(name, image):
    assert difference(getattr(operations, name)(image), getattr(ImageOps, name)(Image.fromarray(image))) == 0


def test_every_range_is_stretched_as_pillow_does():
    """If a product is close to an integer, its last bit matters."""
    for low in range(0, 255, 3):
        for high in range(low + 1, 256, 4):
            ramp = np.repeat(np.arange(low, high + 1, dtype=np.uint8)[None, :, None], 3, 2)
            assert difference(operations.autocontrast(ramp), ImageOps.autocontrast(Image.fromarray(ramp))) == 0


@pytest.mark.parametrize("pixels", [200, 255, 256, 257, 400, 510, 511, 700, 3000])
def test_equalize_of_few_pixels(pixels):
    """With a step of one or two, the table would exceed 255; with a step of zero there is none."""
    for seed in range(10):
        few = noise((1, pixels), seed=seed)
        assert difference(operations.equalize(few), ImageOps.equalize(Image.fromarray(few))) == 0


# --- enhancement ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENHANCERS)
def test_enhancement_is_pillows(name, image):
    for factor in FACTORS:
        expected = ENHANCERS[name](Image.fromarray(image)).enhance(factor)
        assert difference(getattr(operations, name)(image, factor), expected) <= TOLERANCE[name], factor


# Sharpness uses a rounded mean, which is three times as fast.
SELDOM = {"brightness": 0.002, "contrast": 0.002, "color": 0.002, "sharpness": 0.08}


@pytest.mark.parametrize("name", ENHANCERS)
def test_few_pixels_differ_from_pillow(name):
    """Rounding where Pillow truncates would shift every second pixel by one level."""
    missed = [
        getattr(operations, name)(image, factor) != np.asarray(ENHANCERS[name](Image.fromarray(image)).enhance(factor))
        for image in IMAGES.values()
        for factor in FACTORS
    ]
    assert np.concatenate([pixels.ravel() for pixels in missed]).mean() < SELDOM[name]


@pytest.mark.parametrize("name", ENHANCERS)
def test_enhancement_has_the_right_direction(name):
    """The change is visible, and opposite for the opposite sign."""
    image = noise((60, 80), 60, 190)
    more, less = (getattr(operations, name)(image, factor).astype(int) - image for factor in (1.18, 0.82))
    assert np.abs(more).mean() > 3 and np.corrcoef(more.ravel(), less.ravel())[0, 1] < -0.9


# --- rotation ---------------------------------------------------------------------------------------------------------


def source(size, degrees):
    """Position (x, y) in the image of every pixel of the rotated image, from the definition of a rotation."""
    angle, center = np.radians(degrees), np.array([size[1] - 1, size[0] - 1]) / 2
    place = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1) - center
    return place @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + center


def inside_and_outside(size, degrees):
    """Masks of the pixels from inside the image and from outside."""
    x, y = np.moveaxis(source(size, degrees), -1, 0)
    inside = (x >= 0) & (x <= size[1] - 1) & (y >= 0) & (y <= size[0] - 1)
    outside = (x < -1) | (x > size[1]) | (y < -1) | (y > size[0])
    return inside, outside


@pytest.mark.parametrize("degrees", [6, -6, 1.5, -30, 0])
def test_rotation_is_pillows(degrees, image):
    expected = Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR, fillcolor=FILL)
    ours, expected = operations.rotate(image, degrees, FILL), np.asarray(expected)
    inside, outside = inside_and_outside(image.shape[:2], degrees)
    assert ours.shape == image.shape and ours.dtype == np.uint8
    if inside.any():
        assert difference(ours[inside], expected[inside]) <= TOLERANCE["rotate"]
    assert (ours[outside] == FILL).all() and (expected[outside] == FILL).all()


@pytest.mark.parametrize("degrees", [6, -6])
@pytest.mark.parametrize("size", [(3, 3), (17, 23), (90, 140), (140, 90), (300, 300)])
def test_rotated_labels_are_pillows(size, degrees):
    label = noise(size)[..., 0] % 19
    expected = Image.fromarray(label).rotate(degrees, Image.Resampling.NEAREST, fillcolor=255)
    ours = operations.rotate(label, degrees, 255, nearest=True)
    assert ours.shape == size and ours.dtype == np.uint8 and set(np.unique(ours)) <= {*range(19), 255}
    assert (ours == np.asarray(expected)).mean() >= 0.99


def test_image_and_label_turn_together_about_the_centre():
    rows, columns = np.mgrid[:90, :140].astype(np.uint8)
    image, label = np.dstack([columns, rows, rows]), columns
    turned, turned_label = operations.rotate(image, 6, FILL), operations.rotate(label, 6, 255, nearest=True)
    inside, outside = inside_and_outside((90, 140), 6)
    shift = turned[..., 0][inside].astype(float) - turned_label[inside]
    assert np.abs(shift).max() <= 1 and abs(shift.mean()) < 0.1
    assert outside.any() and (turned_label[outside] == 255).all() and (turned_label[inside] != 255).all()
    assert turned[30, 20, 0] == np.clip(round(source((90, 140), 6)[30, 20, 0]), 0, 255)


# --- all --------------------------------------------------------------------------------------------------------------


def all_operations(image):
    yield from (operations.autocontrast(image), operations.equalize(image), operations.rotate(image, 6, FILL))
    yield from (getattr(operations, name)(image, 1.18) for name in ENHANCERS)


def test_nothing_is_changed_in_place(image):
    before = image.copy()
    for result in all_operations(image):
        assert not np.shares_memory(result, image)
    assert np.array_equal(image, before)


def test_views_are_handled():
    """A flipped crop is not contiguous."""
    view = noise((40, 60))[5:30, 40:10:-1]
    for ours, expected in zip(all_operations(view), all_operations(view.copy()), strict=True):
        assert np.array_equal(ours, expected)


def test_photographs(camvid_root):
    for image in photographs(camvid_root):
        pillow = Image.fromarray(image)
        for name in ("autocontrast", "equalize"):
            assert difference(getattr(operations, name)(image), getattr(ImageOps, name)(pillow)) == 0
        for name, enhancer in ENHANCERS.items():
            for factor in FACTORS:
                ours = getattr(operations, name)(image, factor)
                assert difference(ours, enhancer(pillow).enhance(factor)) <= TOLERANCE[name], (name, factor)
        for degrees in (6, -6):
            expected = np.asarray(pillow.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=FILL))
            inside, _ = inside_and_outside(image.shape[:2], degrees)
            assert difference(operations.rotate(image, degrees, FILL)[inside], expected[inside]) <= 1


def test_real_labels(camvid_root):
    for path in sorted((camvid_root / "trainannot").glob("*.png"))[::61]:
        label = read_label(path, CAMVID)
        for degrees in (6, -6):
            expected = Image.fromarray(label).rotate(degrees, Image.Resampling.NEAREST, fillcolor=255)
            assert (operations.rotate(label, degrees, 255, nearest=True) == np.asarray(expected)).mean() >= 0.99
