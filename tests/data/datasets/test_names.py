"""Datasets by name, and the options that custom classes accept."""

import pytest
from layouts import is_sentence

from regseg.data.datasets.cityscapes import Cityscapes
from regseg.data.datasets.names import DATASETS, accepted_options, create_dataset, dataset_class
from regseg.errors import InputError


class Picky:
    """A custom class without the options of `Folder`."""

    def __init__(self, root, scale=1):
        pass


def test_every_name_is_a_class():
    assert all(dataset_class(name).__name__.lower() == name for name in DATASETS)
    assert dataset_class("regseg.data.datasets.cityscapes.Cityscapes") is Cityscapes


@pytest.mark.parametrize("name", ["citiscapes", "regseg.nowhere.Class", "regseg.data.datasets.cityscapes.Nothing", ""])
def test_an_unknown_name_lists_the_datasets(name):
    with pytest.raises(InputError) as error:
        dataset_class(name)
    assert is_sentence(error, f"data.dataset={name} is not a dataset", ", ".join(DATASETS))


def test_a_name_of_something_else_than_a_dataset():
    for name in ("os.path.basename", f"{__name__}.Picky"):
        with pytest.raises(InputError) as error:
            create_dataset(dataset_class(name), "root", {})
        assert is_sentence(error, "has no attribute spec")


def test_a_custom_class_gets_only_the_options_it_accepts():
    options = {"val_share": 0.2, "split_by": "image", "scale": 2}
    assert accepted_options(f"{__name__}.Picky", options) == {"scale": 2}
    assert accepted_options("folder", options) == options
