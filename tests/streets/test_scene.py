"""Street scenes: reproducible, and not too easy."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from regseg.streets import draw_scene, labels

TRAIN, VAL = 0, 1  # split numbers in the seeds


def scene(split, number, height=64, width=128, seed=0):
    return draw_scene(np.random.default_rng(np.random.SeedSequence([seed, split, number])), height, width)


def digest(image, label_ids):
    return hashlib.sha256(image.tobytes() + label_ids.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def train_labels():
    """(110, 64, 128) label IDs of the first training images, at half size for speed."""
    return np.stack([scene(TRAIN, number)[1] for number in range(110)])


@pytest.mark.parametrize("size", [(128, 256), (45, 64), (256, 256)])
def test_a_scene_has_the_given_size(size):
    image, label_ids = scene(TRAIN, 0, *size)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    assert label_ids.shape == size and label_ids.dtype == np.uint8


def test_a_seed_determines_the_image():
    assert digest(*scene(TRAIN, 5)) == digest(*scene(TRAIN, 5))


def test_seeds_splits_and_numbers_give_different_images():
    images = [scene(TRAIN, 0), scene(TRAIN, 1), scene(VAL, 0), scene(VAL, 1), scene(TRAIN, 0, seed=1)]
    assert len({digest(*image) for image in images}) == len(images)


def test_another_process_creates_the_same_image():
    """It does not depend on the order of a set or on earlier scenes."""
    code = "import test_scene as t; print(*(t.digest(*t.scene(0, number)) for number in (9, 7)))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "123",
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(*scene(TRAIN, 9)), digest(*scene(TRAIN, 7))]


def test_labels_are_evaluated_ids_and_three_ignored_ids(train_labels):
    ignored = {labels.EGO_VEHICLE, labels.OUT_OF_ROI, labels.STATIC}
    assert set(np.unique(train_labels)) == {*labels.EVALUATED, *ignored}
    assert np.isin(train_labels, labels.EVALUATED).mean() > 0.9


def test_every_class_is_in_many_images(train_labels):
    share = {label: (train_labels == label).any((1, 2)).mean() for label in labels.EVALUATED}
    assert min(share.values()) > 0.06, share


def test_rare_classes_are_rarer(train_labels):
    pixels = {label: (train_labels == label).mean() for label in labels.EVALUATED}
    common = [labels.ROAD, labels.BUILDING, labels.SKY, labels.VEGETATION, labels.CAR, labels.SIDEWALK]
    rare = [labels.TRUCK, labels.BUS, labels.TRAIN, labels.MOTORCYCLE, labels.RIDER, labels.BICYCLE, labels.WALL]
    assert min(pixels[label] for label in common) > max(pixels[label] for label in rare), pixels


def test_position_predicts_little(train_labels):
    """The most frequent class of each pixel, as a prediction, has a mIoU below 15 %, so the image is needed."""
    classes = np.array(labels.EVALUATED)
    prior = classes[np.stack([(train_labels == label).sum(0) for label in classes]).argmax(0)]
    truth = np.stack([scene(VAL, number)[1] for number in range(30)])
    counted = np.isin(truth, classes)
    ious = []
    for label in np.intersect1d(np.unique(truth), classes):
        predicted, true = (prior == label) & counted, truth == label
        ious.append((predicted & true).sum() / (predicted | true).sum())
    assert np.mean(ious) < 0.15
