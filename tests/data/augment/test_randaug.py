"""RandAug and colour jitter: their random numbers, their order, and their effect on labels."""

import pickle
from collections import Counter
from itertools import permutations

import albumentations as A
import hydra
import numpy as np
import pytest
from layouts import is_sentence, noise, write_cityscapes

from regseg.data.augment import randaug
from regseg.data.augment.randaug import color_jitter, rand_augment
from regseg.data.augment.transforms import FILL, TrainTransform, draw_from
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.sampling.epochs import stream
from regseg.errors import InputError

OPERATIONS = ("autocontrast", "equalize", "rotate", "color", "contrast", "brightness", "sharpness")
RANDAUG = {"operations": 2, "magnitude": 0.2}
JITTER = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5}
IMAGE, LABEL = noise(0, (20, 30)), np.random.default_rng(1).integers(0, 19, (20, 30), np.uint8)


@pytest.fixture
def calls(monkeypatch):
    """Record the operations called on images as (name, argument, image), without applying them."""
    called = []

    def record(name):
        def operation(image, argument=None, fill=None, nearest=False):
            if not nearest:
                called.append((name, argument, image))
            return image.copy()

        return operation

    for name in ("autocontrast", "equalize", "rotate"):
        monkeypatch.setattr(randaug, name, record(name))
    for name in randaug.ENHANCEMENTS:
        monkeypatch.setitem(randaug.ENHANCEMENTS, name, record(name))
    return called


def draws(transform, count, image=IMAGE, label=LABEL):
    """Image and label for the streams 0, 1, …"""
    for number in range(count):
        if isinstance(transform, TrainTransform):
            yield transform(image, label, stream(0, number))
            continue
        draw_from(stream(0, number), transform)
        result = transform(image=image, mask=label)
        yield result["image"], result["mask"]


def chosen(transform, calls, count):
    """The (name, argument) of each operation, for the streams 0, 1, …"""
    rounds = []
    for _ in draws(transform, count):
        rounds.append(tuple((name, argument) for name, argument, _ in calls))
        calls.clear()
    return rounds


def chi_square(counts, expected):
    return sum((count - expected) ** 2 / expected for count in counts)


# --- RandAug ----------------------------------------------------------------------------------------------------------


def test_two_distinct_operations_uniformly_in_any_order(calls):
    rounds = chosen(rand_augment(FILL), calls, 2100)
    counts = Counter(tuple(name for name, _ in called) for called in rounds)
    assert set(counts) == set(permutations(OPERATIONS, 2))
    assert chi_square(counts.values(), 2100 / 42) < 80  # 41 on average, 80 once in 4000


@pytest.mark.parametrize("operations", [1, 3, 7])
def test_number_of_operations(calls, operations):
    for called in chosen(rand_augment(FILL, operations), calls, 50):
        names = [name for name, _ in called]
        assert len(names) == len(set(names)) == operations and set(names) <= set(OPERATIONS)


@pytest.mark.parametrize("magnitude", [0.2, 0.0, 1.0])
def test_magnitudes_and_signs(calls, magnitude):
    drawn = {name: [] for name in OPERATIONS}
    for called in chosen(rand_augment(FILL, 7, magnitude), calls, 400):
        for name, argument in called:
            drawn[name].append(argument)
    assert set(drawn.pop("autocontrast")) == set(drawn.pop("equalize")) == {None}
    assert drawn["rotate"] == pytest.approx([30 * magnitude * np.sign(value) for value in drawn["rotate"]])
    for name, arguments in drawn.items():
        offsets = np.array(arguments) - (name != "rotate")
        assert np.abs(offsets) == pytest.approx(30 * magnitude if name == "rotate" else 0.9 * magnitude)
        assert magnitude == 0 or abs(np.sign(offsets).mean()) < 0.2  # 4 standard deviations


def test_signs_are_independent(calls):
    """They do not depend on each other or on the order of the operations."""
    rounds = chosen(rand_augment(FILL, 7), calls, 600)
    signs = [
        [
            *(np.sign(dict(called)[name] - (name != "rotate")) for name in OPERATIONS[2:]),
            called.index(("autocontrast", None)),
        ]
        for called in rounds
    ]
    correlations = np.corrcoef(np.array(signs).T) - np.eye(6)
    assert np.abs(correlations).max() < 0.17, correlations.round(2)  # 4 standard deviations


def test_the_result_depends_on_the_seed_only():
    pipeline = A.Compose([rand_augment(FILL)])
    results = []
    for seed in (0, 0, 1, 2, 3):
        pipeline.set_random_seed(seed)
        results.append([pipeline(image=IMAGE, mask=LABEL)["image"].tobytes() for _ in range(5)])
    assert results[0] == results[1] and len({image for images in results[1:] for image in images}) >= 15
    draw_from(stream(7), pipeline)
    copy = pickle.loads(pickle.dumps(pipeline))
    first, second = pipeline(image=IMAGE, mask=LABEL), copy(image=IMAGE, mask=LABEL)
    assert np.array_equal(first["image"], second["image"]) and np.array_equal(first["mask"], second["mask"])


def test_only_rotation_changes_the_label():
    for seed, (image, label) in enumerate(draws(rand_augment(FILL, 1), 60)):
        assert image.dtype == label.dtype == np.uint8 and image.shape == (20, 30, 3) and label.shape == (20, 30)
        rotated = (image[0, 0] == FILL).all() or (image[0, -1] == FILL).all()
        assert np.array_equal(label, LABEL) != rotated, seed
        assert not rotated or ((label == 255).any() and set(np.unique(label)) <= {*range(19), 255})


def test_rotation_moves_image_and_label_equally():
    rows, columns = np.mgrid[:60, :80].astype(np.uint8)
    image, sides = np.dstack([columns, rows, np.full_like(rows, 9)]), set()
    for turned, label in draws(randaug.Rotate(6, FILL), 10, image, columns):
        inside, corners = turned[..., 2] == 9, (turned == FILL).all(-1)
        assert inside.mean() > 0.9 and corners.mean() > 0.03
        assert (label[inside] != 255).all() and (label[corners] == 255).all()
        assert np.abs(turned[..., 0][inside].astype(int) - label[inside]).max() <= 1
        sides.add(bool(label[5, 40] < label[54, 40]))
    assert sides == {True, False}


# --- jitter -----------------------------------------------------------------------------------------------------------


def test_jitter_is_uniform_and_always_applied(calls):
    rounds = chosen(color_jitter(**JITTER), calls, 600)
    assert {len(called) for called in rounds} == {3}
    factors = np.array([[dict(called)[name] for name in ("brightness", "contrast", "color")] for called in rounds])
    for column, change in zip(factors.T, (0.3, 0.4, 0.5), strict=True):
        shares = np.sort((column - 1 + change) / (2 * change))
        assert shares[0] >= 0 and shares[-1] <= 1
        distance = np.abs(shares - (np.arange(600) + 0.5) / 600).max()
        assert distance < 2 / np.sqrt(600)  # Kolmogorov and Smirnov: once in 1500
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.17


def test_jitter_has_any_order(calls):
    counts = Counter(tuple(name for name, _ in called) for called in chosen(color_jitter(), calls, 600))
    assert len(counts) == 6 and chi_square(counts.values(), 100) < 22  # 5 on average, 22 once in 2000


def test_jitter_changes_colours_only():
    for image, label in draws(color_jitter(), 20):
        assert image.dtype == np.uint8 and not np.array_equal(image, IMAGE) and np.array_equal(label, LABEL)


# --- the order of all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"randaug": RANDAUG}, {"jitter": JITTER}])
@pytest.mark.parametrize(
    ("crop_size", "seen"), [((40, 40), (20, 30)), ((10, 15), (10, 15)), ((40, 12), (20, 12)), ((10, 50), (10, 30))]
)
def test_colour_operations_are_between_flip_and_pad(calls, options, crop_size, seen):
    """They get the flipped crop without padding."""
    columns = np.tile(np.arange(30, dtype=np.uint8), (20, 1))
    image = np.dstack([columns, columns, columns])
    for crop, label in draws(TrainTransform(crop_size, (20, 20), flip=1.0, **options), 10, image, columns):
        for _, _, met in calls:
            assert met.shape == (*seen, 3) and (np.diff(met[0, :, 0].astype(int)) == -1).all()
        calls.clear()
        padded = label == 255
        assert crop.shape == (*crop_size, 3) and (~padded).sum() == seen[0] * seen[1]
        assert (crop[padded] == FILL).all() and np.array_equal(crop[..., 0][~padded], label[~padded])


def test_the_padding_does_not_affect_colour_operations(monkeypatch):
    """Light greys are stretched to 0; with the darker padding they would not be."""
    monkeypatch.setattr(randaug, "ENHANCEMENTS", {})
    monkeypatch.setattr(randaug, "rotate", lambda image, *arguments, **options: image)
    image, stretched = np.random.default_rng(0).integers(200, 220, (20, 30, 3), np.uint8), 0
    for crop, label in draws(TrainTransform((40, 40), (20, 20), randaug={"operations": 1}), 30, image):
        padded = label == 255
        assert padded.sum() == 1000 and (crop[padded] == FILL).all()
        stretched += crop[~padded].min() == 0 and crop[~padded].max() == 255
    assert 10 < stretched < 30  # autocontrast and equalize, but not the rotation


@pytest.mark.parametrize(("side", "crop"), [(8, 12), (12, 8)])
def test_offsets_are_uniform(calls, side, crop):
    """The offsets of the image in the padding and of the crop in the image."""
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    image, offsets = np.dstack([rows, columns, columns]), []
    transform = TrainTransform((crop, crop), (side, side), flip=0.0, randaug=RANDAUG)
    for result, label in draws(transform, 900, image, columns):
        offsets.append(np.argwhere(label != 255)[0] if crop > side else result[0, 0, :2])
    for axis in np.array(offsets).T:
        values, counts = np.unique(axis, return_counts=True)
        assert values.tolist() == [0, 1, 2, 3, 4] and chi_square(counts, 180) < 20  # 4 on average, 20 once in 2000
    assert abs(np.corrcoef(np.array(offsets, float).T)[0, 1]) < 0.13


def test_no_colour_operation_by_default(calls):
    list(draws(TrainTransform((10, 10), (10, 20)), 20))
    assert not calls


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ({"randaug": {"operations": 0}}, ["data.augment.randaug.operations=0", "from 1 to 7"]),
        ({"randaug": {"operations": 8}}, ["data.augment.randaug.operations=8"]),
        ({"randaug": {"operations": 2.0}}, ["data.augment.randaug.operations=2.0", "integer"]),
        ({"randaug": {"magnitude": 1.2}}, ["data.augment.randaug.magnitude=1.2", "from 0 to 1"]),
        ({"randaug": {"magnitude": "strong"}}, ["data.augment.randaug.magnitude='strong'"]),
        ({"randaug": {"magnitude": float("nan")}}, ["data.augment.randaug.magnitude=nan"]),
        ({"randaug": {"ops": 2}}, ["data.augment.randaug.ops does not exist", "operations, magnitude"]),
        ({"randaug": {"fill": 0}}, ["data.augment.randaug.fill does not exist"]),
        ({"randaug": 2}, ["data.augment.randaug=2"]),
        ({"jitter": {"hue": 0.1}}, ["data.augment.jitter.hue does", "brightness, contrast, saturation"]),
        ({"jitter": {"contrast": -0.1}}, ["data.augment.jitter.contrast=-0.1"]),
        ({"jitter": {"saturation": 2}}, ["data.augment.jitter.saturation=2"]),
        ({"jitter": True}, ["data.augment.jitter=true"]),
    ],
)
def test_invalid_options_are_reported(augment, words):
    with pytest.raises(InputError) as error:
        TrainTransform((8, 8), (8, 8), **augment)
    assert is_sentence(error, *words)


@pytest.mark.parametrize(
    ("overrides", "augment"),
    [
        (["data=cityscapes"], {"flip": 0.5, "randaug": RANDAUG}),
        (["data=cityscapes", "augment=jitter"], {"flip": 0.5, "jitter": JITTER}),
        (["data=cityscapes", "augment=flip"], {"flip": 0.5}),
        (["data=cityscapes", "data.augment.flip=0.1"], {"flip": 0.1, "randaug": RANDAUG}),
        (["data=camvid"], {"flip": 0.5}),
        (["data=streets", "augment=randaug"], {"flip": 0.5, "randaug": RANDAUG}),
    ],
)  # fmt: skip
def test_augmentation_by_dataset_and_by_choice(compose, overrides, augment):
    cfg = compose(*overrides, "data.num_workers=0")
    assert cfg.data.augment == augment
    datamodule = hydra.utils.instantiate(cfg.data)
    assert datamodule.hparams["augment"] == augment and type(datamodule.hparams["augment"]) is dict
    assert all(type(value) in (dict, float) for value in datamodule.hparams["augment"].values())
    flip, *colours = datamodule.transform.augment.transforms
    assert type(flip).__name__ == "HorizontalFlip"
    if "randaug" in augment or "jitter" in augment:
        assert [type(step).__name__ for step in colours] == ["RandomOrder"]
        assert len(colours[0].transforms) == (7 if "randaug" in augment else 3)
    else:
        assert not colours


def test_a_dataset_can_choose_the_augmentation(compose):
    assert compose("data=cityscapes", config="evaluate").data.augment.randaug == RANDAUG
    assert compose(config="evaluate").data == {"root": None}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_the_workers(tmp_path, workers):
    root = write_cityscapes(tmp_path, (("train", 6), ("val", 1)))
    sizes = {"batch_size": 2, "crop_size": [20, 28], "short_side": [16, 40], "augment": {"randaug": RANDAUG}}
    batches = []
    for count in (0, workers):
        datamodule = SegmentationDataModule("cityscapes", root, num_workers=count, **sizes)
        datamodule.setup("fit")
        batches.append([(batch["image"], batch["label"]) for batch in datamodule.train_dataloader()])
    for (image, label), (other_image, other_label) in zip(*batches, strict=True):
        assert image.shape == (2, 20, 28, 3) and label.shape == (2, 20, 28)
        assert image.equal(other_image) and label.equal(other_label)
        assert set(label.unique().tolist()) <= {*range(19), 255}
