"""Class-uniform sampling as in the author's release: the crops of an epoch."""

from collections import Counter

import numpy as np
from layouts import noise, write

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.sampling.centroids import CentroidIndex
from regseg.data.sampling.class_uniform import ClassUniformSampler
from regseg.data.sampling.epochs import CropRequest, stream

# Three classes: class 0 has four centroids, class 1 has one, class 2 has none.
INDEX = CentroidIndex(np.array([(0, 0, 1, 1), (0, 1, 2, 2), (0, 2, 3, 3), (0, 3, 4, 4), (1, 5, 6, 7)], np.int32), 3)


def test_an_epoch_has_n_crops_and_each_class_its_share():
    assert INDEX.absent == [2]
    for epoch in range(20):
        draws = ClassUniformSampler(INDEX, 0.5, 20, 0).requests(epoch, stream(0, epoch))
        around = [draw for draw in draws if draw.centroid]
        whole = [draw.index for draw in draws if not draw.centroid]
        # floor(0.5 * 20 / 3) = 3 per class; the share of the absent class goes to whole images
        assert len(draws) == 20 and len(whole) == len(set(whole)) == 20 - 2 * 3
        first = [(draw.index, draw.centroid) for draw in around if draw.index < 4]
        assert len(set(first)) == 3 and set(first) <= {(i, (i + 1, i + 1)) for i in range(4)}
        assert [(draw.index, draw.centroid) for draw in around if draw.index == 5] == [(5, (6, 7))] * 3  # starts over
        assert len({draw.key for draw in draws}) == 20 and {draw.epoch for draw in draws} == {epoch}


def test_centroids_of_a_rare_class_are_repeated_equally_often():
    index = CentroidIndex(np.array([(0, i, 0, 0) for i in range(3)], np.int32), 1)
    counts = Counter(
        draw.index for draw in ClassUniformSampler(index, 0.5, 16, 0).requests(0, stream(0)) if draw.centroid
    )
    assert sum(counts.values()) == 8 and set(counts.values()) == {2, 3}


def test_a_share_of_zero_is_every_image_once_and_crops_are_shuffled():
    assert sorted(draw.index for draw in ClassUniformSampler(INDEX, 0.0, 9, 0).requests(0, stream(0))) == [*range(9)]
    first = [bool(ClassUniformSampler(INDEX, 0.5, 20, 0).requests(e, stream(0, e))[0].centroid) for e in range(200)]
    assert abs(np.mean(first) - 6 / 20) < 0.12


def test_ranks_divide_class_uniform_crops():
    samplers = [ClassUniformSampler(INDEX, 0.5, 21, 0, 3, rank, 2) for rank in (0, 1)]
    parts = [list(sampler) for sampler in samplers]
    assert [len(part) for part in parts] == [10, 10] == [len(sampler) for sampler in samplers]
    assert len({draw.key for part in parts for draw in part}) == 20
    assert list(samplers[0]) == parts[0] != list(ClassUniformSampler(INDEX, 0.5, 21, 1, 3, 0, 2))


def test_training_crops_contain_the_class(labels):
    """From the request to the crop: the only pixel of class 1 is in most crops around it, and hardly in any other."""
    size, (row, column) = (90, 140), (70, 30)
    label = np.zeros(size, np.uint8)
    label[row, column] = 1
    write(labels / "images/train/0.png", noise(0, size))
    write(labels / "labels/train/0.png", label)
    datamodule = SegmentationDataModule("folder", labels, batch_size=2, crop_size=(16, 16), short_side=(90, 90))
    datamodule.setup("fit")
    for centroid, least, most in (((row, column), 35, 50), (None, 0, 5)):
        crops = [datamodule.train_set[CropRequest(0, 0, centroid, number)]["label"] for number in range(50)]
        assert least <= sum((crop == 1).any() for crop in crops) <= most


def test_a_class_without_labels_is_named(labels, capsys):
    classes = "classes: [{name: ground, id: 0}, {name: wall, id: 1}, {name: unicorn, id: 77}]"
    (labels / "classes.yaml").write_text(classes)
    datamodule = SegmentationDataModule(
        "folder", labels, batch_size=2, crop_size=(8, 8), short_side=(20, 20), num_workers=0, class_uniform=1.0
    )
    datamodule.setup("fit")
    assert "no training label contains" in (out := capsys.readouterr().out) and "unicorn" in out
    sampler = datamodule.train_dataloader().sampler
    assert any(draw.centroid for draw in sampler)
    assert [draw.key for draw in sampler] == [draw.key for draw in datamodule.train_dataloader().sampler]
    batches = list(datamodule.train_dataloader())
    assert batches[0]["image"].shape == (2, 8, 8, 3)
