"""The label ids of the scenes are those of Cityscapes."""

from regseg.data.datasets.cityscapes import SPEC
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.streets import labels


def test_ids_are_those_of_cityscapes():
    assert tuple(value for value, index in sorted(SPEC.ids.items()) if index != IGNORE_INDEX) == labels.EVALUATED
    assert {labels.EGO_VEHICLE, labels.OUT_OF_ROI, labels.STATIC}.isdisjoint(labels.EVALUATED)
