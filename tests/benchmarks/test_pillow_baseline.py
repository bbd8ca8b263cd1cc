"""The Pillow pipeline that the loader is compared with."""

import numpy as np

from regseg.benchmarks.loader import STAGES
from regseg.benchmarks.pillow_baseline import pillow_crop
from regseg.data.sampling.epochs import stream


def test_the_pillow_pipeline_draws_a_crop_of_the_dataset(streets):
    streets.setup("fit")
    stages = []
    image, label = pillow_crop(
        streets.train_set.samples[0], streets.spec, (32, 48), (32, 96), stream(0, 0), done=stages.append
    )
    assert image.shape == (3, 32, 48) and label.shape == (32, 48) and stages == list(STAGES)
    assert set(np.unique(label)) <= {*range(19), 255} and image.abs().max() < 10


def test_a_crop_contains_its_centroid(streets):
    """At the largest scale the crop is smaller than the image, so its position matters."""
    streets.setup("fit")
    sample = streets.train_set.samples[0]
    whole = streets.train_set.storage.read(0)[1]
    row, column = np.argwhere(whole == whole.min())[0].tolist()
    for number in range(5):
        _, label = pillow_crop(
            sample, streets.spec, (32, 48), (64, 64), stream(0, number), (row, column), done=lambda _stage: None
        )
        assert whole[row, column] in label
