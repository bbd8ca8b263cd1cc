"""Notes on trainings that learn nothing, or little."""

from dataclasses import replace

from regseg.data.augment.transforms import TrainTransform
from regseg.data.datasets.cityscapes import SPEC
from regseg.data.training_notes import notes_on_training


def test_crops_that_are_larger_than_any_image():
    assert list(notes_on_training(SPEC, TrainTransform([768, 1536], [400, 1600]))) == []
    (note,) = notes_on_training(SPEC, TrainTransform([2048, 2049], [400, 1600]))
    assert note.startswith("Every crop of 2048x2049 pixels contains padding") and "at most 1600" in note


def test_a_single_class():
    one = replace(SPEC, classes=("road",), colors=SPEC.colors[:1], ids={7: 0}, excluded=())
    (note,) = notes_on_training(one, TrainTransform([64, 64], [64, 64]))
    assert note.startswith("road is the only class of ")
