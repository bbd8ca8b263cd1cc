"""Random scale, crop, padding and flip: their distributions, and the alignment of image and label."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from layouts import is_sentence

from regseg.data.augment.crop_resize import resize_image
from regseg.data.augment.transforms import FILL, TrainTransform, normalize
from regseg.data.sampling.epochs import stream
from regseg.errors import InputError


def ramp(height, width):
    """Image and label whose values are coordinates: red and label are columns, green is rows, blue is 7."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.dstack([columns, rows, np.full_like(rows, 7)]), columns.copy()


def draws(transform, image, label, count):
    """Crop and label for the streams 0, 1, …"""
    for number in range(count):
        yield transform(image, label, stream(0, number))


def content(label):
    """(top, left, height, width) of the part without padding."""
    rows, columns = np.flatnonzero((label != 255).any(1)), np.flatnonzero((label != 255).any(0))
    return rows[0], columns[0], len(rows), len(columns)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (30, 30)])
def test_the_short_side_is_any_integer_of_the_range(shape):
    sizes = [
        content(label)[2:]
        for _, label in draws(TrainTransform((80, 80), (20, 24)), *ramp(*shape), 600)
    ]  # fmt: skip
    sides, counts = np.unique([min(size) for size in sizes], return_counts=True)
    assert sides.tolist() == [20, 21, 22, 23, 24] and counts.min() > 80
    assert all(size == tuple(round(side * min(size) / 30) for side in shape) for size in sizes)


def test_pads_are_the_mean_colour_and_ignored():
    for image, label in draws(TrainTransform((40, 40), (20, 20)), *ramp(20, 30), 20):
        assert image.shape == (40, 40, 3) and label.shape == (40, 40) and image.dtype == label.dtype == np.uint8
        padded = label == 255
        assert padded.sum() == 1600 - 600
        assert (image[padded] == FILL).all() and (image[~padded][:, 2] == 7).all()


def test_offsets_of_a_small_image_are_uniform():
    offsets = np.array([content(label)[:2] for _, label in draws(TrainTransform((12, 13), (8, 8)), *ramp(8, 8), 900)])
    for axis, choices in ((0, 5), (1, 6)):
        values, counts = np.unique(offsets[:, axis], return_counts=True)
        assert values.tolist() == [*range(choices)] and counts.min() > 900 / choices * 0.7
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.1


def test_offsets_of_a_crop_are_uniform():
    crops = draws(TrainTransform((6, 6), (10, 10)), *ramp(10, 10), 900)
    corners = np.array([(image[0, 0, 1], label[0].min()) for image, label in crops])
    for axis in (0, 1):
        values, counts = np.unique(corners[:, axis], return_counts=True)
        assert values.tolist() == [*range(5)] and counts.min() > 900 / 5 * 0.7


def test_one_side_is_padded_and_the_other_cropped():
    for _, label in draws(TrainTransform((30, 30), (20, 20)), *ramp(20, 60), 10):
        assert content(label)[2:] == (20, 30)


def test_scale_position_and_flip_are_independent():
    """With one seed for all transforms, as albumentations does it, small images would always be flipped."""
    image, label = ramp(100, 100)
    drawn = []
    for crop, _ in draws(TrainTransform((32, 32), (40, 80)), image, label, 800):
        columns, rows = crop[16, :, 0].astype(float), crop[:, 16, 1].astype(float)
        step = (rows[-1] - rows[0]) / 31
        drawn.append((step, rows[0] / (100 - 32 * step), columns.min() / (100 - 32 * step), columns[0] > columns[-1]))
    correlations = np.corrcoef(np.array(drawn, float).T) - np.eye(4)
    assert np.abs(correlations).max() < 0.12, correlations.round(2)


@pytest.mark.parametrize(("flip", "share"), [(0, 0), (0.0, 0), (0.5, 0.5), (0.2, 0.2), (1, 1)])
def test_flips_are_horizontal_and_have_the_given_probability(flip, share):
    flipped = []
    for image, label in draws(TrainTransform((10, 10), (10, 10), flip=flip), *ramp(10, 10), 300):
        assert np.array_equal(image[..., 0], label)  # aligned
        assert np.array_equal(image[:, 0, 1], np.arange(10))  # never upside down
        flipped.append(label[0, 0] == 9)
    assert abs(np.mean(flipped) - share) < 0.1


@pytest.mark.parametrize("side", [50, 77, 100, 123, 200, 333, 400])
def test_image_and_label_stay_aligned_at_every_scale(side):
    """OpenCV's nearest neighbour would shift a label to the left by up to half a pixel."""
    transform = TrainTransform((420, 420), (side, side))
    for image, label in draws(transform, *ramp(200, 200), 4):
        inside = label != 255
        difference = image[..., 0][inside].astype(float) - label[inside]
        assert abs(difference.mean()) < 0.6 and np.abs(difference).max() <= max(1, 100 / side + 0.5)


def test_labels_get_no_new_values():
    label = np.random.default_rng(0).choice(np.array([0, 9, 200], np.uint8), (40, 60))
    image = np.zeros((40, 60, 3), np.uint8)
    values = {
        value for _, crop in draws(TrainTransform((50, 50), (20, 90)), image, label, 100) for value in np.unique(crop)
    }
    assert values == {0, 9, 200, 255}


def test_the_crop_depends_on_the_stream_only():
    transform, (image, label) = TrainTransform((16, 16), (10, 40)), ramp(20, 30)
    first = list(draws(transform, image, label, 20))
    np.random.seed(1)
    torch.manual_seed(1)
    again = list(draws(pickle.loads(pickle.dumps(transform)), image, label, 20))
    assert all(
        np.array_equal(a, b) for pair, other in zip(first, again, strict=True) for a, b in zip(pair, other, strict=True)
    )
    assert len({crop.tobytes() for crop, _ in first}) == 20


@pytest.mark.parametrize(
    ("crop_size", "short_side", "flip", "words"),
    [
        (64, [1, 2], 0.5, ["data.crop_size=64", "[240,320]"]),
        ([64], [1, 2], 0.5, ["data.crop_size=[64]"]),
        ([1, 2, 3], [1, 2], 0.5, ["data.crop_size=[1,2,3]"]),
        ([64, 0], [1, 2], 0.5, ["data.crop_size=[64,0]"]),
        ([64, -64], [1, 2], 0.5, ["data.crop_size=[64,-64]"]),
        ([64, 64.5], [1, 2], 0.5, ["data.crop_size=[64,64.5]"]),
        (["64", "64"], [1, 2], 0.5, ["data.crop_size"]),
        ([True, True], [1, 2], 0.5, ["data.crop_size"]),
        ("64", [1, 2], 0.5, ["data.crop_size=64"]),
        (None, [1, 2], 0.5, ["data.crop_size=null"]),
        ([64, 64], 400, 0.5, ["data.short_side=400"]),
        ([64, 64], [400, 300], 0.5, ["data.short_side=[400,300]", "smaller"]),
        ([64, 64], [0, 300], 0.5, ["data.short_side=[0,300]"]),
        ([64, 64], [1, 2], 1.5, ["data.augment.flip=1.5", "0 to 1"]),
        ([64, 64], [1, 2], -0.1, ["data.augment.flip=-0.1"]),
        ([64, 64], [1, 2], "often", ["data.augment.flip='often'"]),
        ([64, 64], [1, 2], float("nan"), ["data.augment.flip=nan"]),
    ],
)
def test_invalid_sizes_are_reported(crop_size, short_side, flip, words):
    with pytest.raises(InputError) as error:
        TrainTransform(crop_size, short_side, flip)
    assert is_sentence(error, *words)


@pytest.mark.parametrize(
    ("shape", "short_side", "expected"),
    [((30, 60), 15, (15, 30)), ((60, 30), 45, (90, 45)), ((31, 47), 20, (20, 30)), ((30, 60), None, (30, 60))],
)
def test_evaluation_size(shape, short_side, expected):
    assert resize_image(np.zeros((*shape, 3), np.uint8), shape, short_side).shape == (*expected, 3)


def test_shrinking_averages():
    """At a quarter of the size, all four stripes contribute; with OpenCV's bilinear kernel only two do."""
    stripes = np.tile(np.array([0, 200, 200, 0], np.uint8)[:, None], (16, 3)).reshape(1, 64, 3).repeat(64, 0)
    crop, _ = TrainTransform((16, 16), (16, 16))(stripes, np.zeros((64, 64), np.uint8), stream(0))
    for result in (resize_image(stripes, (64, 64), 16), crop):
        assert (np.abs(result[:, 1:-1].astype(int) - 100) < 20).all()
    assert (cv2.resize(stripes, (16, 16)) == 200).all()


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(1, 8, 8, 3),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(8, 8, 3, dtype=torch.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        [],
    ],
)
def test_normalize_takes_batches_of_uint8(images):
    with pytest.raises(InputError, match="normalize takes a tensor"):
        normalize(images)


def test_normalize():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8))
    result = normalize(images)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # ImageNet's
    expected = ((images.numpy() / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert result.shape == (2, 3, 5, 7) and result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=2e-6)
