"""What a loader's worker returns for one index or request."""

import numpy as np
import pytest
from layouts import is_sentence, write_folder

from regseg.data.augment.transforms import TrainTransform
from regseg.data.datasets.folder import Folder
from regseg.data.sampling.epochs import CropRequest
from regseg.data.storage import FullStorage
from regseg.data.torch_datasets import EvaluationSet, TrainSet
from regseg.errors import InputError


@pytest.fixture
def storage(tmp_path):
    dataset = Folder(write_folder(tmp_path))
    return FullStorage(dataset.samples("train"), dataset.spec)


@pytest.fixture
def train_set(storage):
    return TrainSet(storage.samples, storage, TrainTransform((8, 12), (16, 40)), seed=3)


def test_a_request_has_its_own_random_stream(train_set):
    first, again = train_set[CropRequest(0, 1)], train_set[CropRequest(0, 1)]
    assert np.array_equal(first["image"], again["image"]) and np.array_equal(first["label"], again["label"])
    assert first["image"].shape == (8, 12, 3) and first["label"].shape == (8, 12)
    assert first["name"] == str(train_set.samples[1].image)
    for other in (CropRequest(1, 1), CropRequest(0, 1, earlier=1)):
        assert not np.array_equal(first["image"], train_set[other]["image"])


def test_an_index_is_a_request_of_epoch_0(train_set):
    assert np.array_equal(train_set[2]["image"], train_set[CropRequest(0, 2)]["image"])


def test_a_centroid_outside_the_label_is_refused(train_set):
    with pytest.raises(InputError) as error:
        train_set[CropRequest(0, 0, centroid=(24, 0))]
    assert is_sentence(error, "(24, 0)", "labels/train/0.png", "centroids-*.bin")


def test_evaluation_images_are_resized_and_labels_are_not(storage):
    item = EvaluationSet(storage.samples, storage, val_size=12)[0]
    assert item["image"].shape == (12, 16, 3) and item["label"].shape == (24, 32)


def test_an_index_beyond_the_last_image_has_no_label(storage):
    images = EvaluationSet(storage.samples, storage, val_size=None)
    filling = images[len(images)]
    assert np.array_equal(filling["image"], images[0]["image"])
    assert (filling["label"] == 255).all() and (images[0]["label"] != 255).any()
