"""Cropping before the resize equals cropping after it, with the author's kernels."""

import cv2
import numpy as np
import pytest
from PIL import Image

from regseg.data.augment.crop_resize import Window, cut_image, cut_label, draw_window, resize_image, scale_to
from regseg.data.sampling.epochs import stream


def picture(height, width, channels=3):
    """Noise with edges, in which neighbouring pixels differ strongly."""
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def whole(image, window, resample=Image.Resampling.BILINEAR):
    """The whole image resized by Pillow and then cropped, as in the author's pipeline."""
    scaled = np.asarray(Image.fromarray(image).resize(window.scaled[::-1], resample))
    (top, left), (height, width) = window.corner, window.size
    return scaled[top : top + height, left : left + width]


def windows(size, short_side, crop, count=6):
    return [draw_window(size, crop, (short_side, short_side), stream(short_side, number)) for number in range(count)]


@pytest.mark.parametrize("short_side", [60, 97, 149, 150, 151, 200, 311, 600])
def test_an_image_equals_pillows_whole_resize(short_side):
    image = picture(150, 260)
    for window in windows((150, 260), short_side, (64, 96)):
        crop = cut_image(image, window)
        assert crop.shape == (*window.size, 3) and crop.flags.writeable
        difference = np.abs(crop.astype(int) - whole(image, window))
        assert difference.max() <= 1 and difference.mean() < 0.3


@pytest.mark.parametrize("short_side", [60, 97, 149, 150, 151, 200, 311, 600])
def test_a_label_equals_pillows_whole_resize(short_side):
    label = picture(150, 260, 1)[..., 0]
    for window in windows((150, 260), short_side, (64, 96)):
        # Between two pixels, Pillow takes either one, depending on rounding.
        clear = [
            (2 * (start + np.arange(length)) + 1) * full % (2 * scaled) != 0
            for full, scaled, start, length in zip((150, 260), *window, strict=True)
        ]
        ours, pillows = cut_label(label, window), whole(label, window, Image.Resampling.NEAREST)
        assert np.array_equal(ours[np.ix_(*clear)], pillows[np.ix_(*clear)]) and min(map(np.mean, clear)) > 0.98


@pytest.mark.parametrize("short_side", [1, 50, 75, 120, 150, 225, 450, 750])
def test_a_label_takes_the_pixel_under_each_centre_and_the_second_between_two(short_side):
    """Also where the resizer would round down from an integer."""
    label = np.random.default_rng(0).integers(0, 256, (150, 261), dtype=np.uint8)
    for window in windows((150, 261), short_side, (64, 96)):
        rows, columns = (
            (2 * (start + np.arange(length)) + 1) * full // (2 * scaled)
            for full, scaled, start, length in zip((150, 261), *window, strict=True)
        )
        assert np.array_equal(cut_label(label, window), label[np.ix_(rows, columns)])


@pytest.mark.parametrize("size", [(150, 260), (149, 259)])
@pytest.mark.parametrize("short_side", [40, 60, 75, 97, 149, 311])
def test_a_half_image_is_resized_once(size, short_side):
    """One resampling, as in the author's release; resizing to the full size first would blur it."""
    half = picture(75, 130)
    for window in windows(size, short_side, (64, 96)):
        difference = np.abs(cut_image(half, window).astype(int) - whole(half, window))
        assert difference.max() <= 1 and difference.mean() < 0.3


def test_a_crop_at_the_stored_size_is_the_stored_image():
    """Cityscapes at half size, with a short side of 512."""
    half = picture(512, 1024)
    window = draw_window((1024, 2048), (300, 768), (512, 512), stream(0))
    (top, left), (height, width) = window.corner, window.size
    assert np.array_equal(cut_image(half, window), half[top : top + height, left : left + width])
    assert np.array_equal(resize_image(half, (1024, 2048), 512), half)


def test_a_half_image_is_evaluated_by_one_resize():
    half = picture(75, 130)
    for short_side in (None, 150, 97):
        result = resize_image(half, (150, 260), short_side)
        expected = np.asarray(Image.fromarray(half).resize(result.shape[1::-1], Image.Resampling.BILINEAR))
        assert result.shape[0] == (short_side or 150) and np.abs(result.astype(int) - expected).max() <= 1


def test_a_half_image_stays_sharp(camvid_root):
    """On a photograph, resizing to the full size first loses sharpness at every scale."""
    path = sorted((camvid_root / "train").iterdir())[0]
    half = np.asarray(Image.open(path).resize((240, 180), Image.Resampling.BILINEAR))

    def sharpness(image):
        return np.var(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F))

    for short_side, blurred in ((180, 0.75), (120, 0.97), (270, 0.97)):
        straight = resize_image(half, (360, 480), short_side)
        full = resize_image(half, (360, 480), None)
        assert sharpness(resize_image(full, (360, 480), short_side)) < blurred * sharpness(straight), short_side


@pytest.mark.parametrize(("shape", "short_side"), [((33, 47), 20), ((33, 47), 70), ((33, 47), None), ((47, 33), 20)])
def test_whole_images(shape, short_side):
    image = picture(*shape)
    result = resize_image(image, shape, short_side)
    expected = np.asarray(Image.fromarray(image).resize(result.shape[1::-1], Image.Resampling.BILINEAR))
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert min(result.shape[:2]) == (short_side or 33)


def test_only_the_rows_of_the_window_are_read(tmp_path):
    """The other rows of a memory-mapped file need not exist."""
    file = tmp_path / "image.bin"
    file.write_bytes(bytes(400 * 100 * 3))
    window, read = Window((800, 200), (600, 20), (50, 60)), []

    class Rows:
        def __init__(self, shape):
            self.shape, self.mapped = shape, np.memmap(file, np.uint8, "r", shape=shape)

        def __getitem__(self, key):
            read.append(key if isinstance(key, slice) else key[0])
            return self.mapped[key]

    cut_image(Rows((400, 100, 3)), window)
    cut_label(Rows((400, 100)), window)
    assert [(rows.start, rows.stop) for rows in read] == [(299, 326), (300, 326)]


def test_a_crop_around_a_centroid_starts_within_a_crops_length_before_it():
    """A crop of 10 in 100 pixels: it starts at 40 to 50 for a centroid at 50, and at 0 to 3 for one at 3."""
    corners = np.array(
        [draw_window((100, 100), (10, 10), (100, 100), stream(0, n), (50.4, 3.0)).corner for n in range(2200)]
    )
    rows, counts = np.unique(corners[:, 0], return_counts=True)
    assert rows.tolist() == [*range(40, 51)] and counts.min() > 140 and counts.max() < 260
    columns, counts = np.unique(corners[:, 1], return_counts=True)
    assert columns.tolist() == [0, 1, 2, 3] and abs(counts[0] / 2200 - 8 / 11) < 0.05
    assert abs(np.corrcoef(corners.T)[0, 1]) < 0.1


def test_centroids_scale_with_the_image():
    for number in range(50):
        window = draw_window((100, 200), (20, 30), (40, 300), stream(number), (80, 150))
        for axis, place in ((0, 80), (1, 150)):
            scale = window.scaled[axis] / (100, 200)[axis]
            last = window.scaled[axis] - window.size[axis]
            low, high = np.clip([place * scale - (20, 30)[axis] - 1, place * scale + 1], 0, last)
            assert low <= window.corner[axis] <= high


def test_a_side_shorter_than_the_crop_is_not_cropped():
    window = draw_window((20, 60), (30, 30), (20, 20), stream(0), (5, 50))
    assert window.size == (20, 30) and window.corner[0] == 0 and window.corner[1] <= 30


@pytest.mark.parametrize(
    ("size", "side", "expected"), [((30, 60), 15, (15, 30)), ((61, 30), 45, (92, 45)), ((1000, 1), 1, (1000, 1))]
)
def test_scaled_sizes(size, side, expected):
    assert scale_to(size, side) == expected
