"""The datasets by name, as in ``data.dataset=NAME``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from regseg.data.datasets.layout import DatasetLayout
from regseg.errors import InputError, typed

DATASETS = {
    "cityscapes": "regseg.data.datasets.cityscapes.Cityscapes",
    "camvid": "regseg.data.datasets.camvid.CamVid",
    "folder": "regseg.data.datasets.folder.Folder",
    "streets": "regseg.data.datasets.streets.Streets",
}
CUSTOM_DATASET = "own"  # stored in a checkpoint in place of a custom dataset class


def dataset_class(name: str | Callable[..., DatasetLayout]) -> Any:
    """Return the class of a dataset.

    Args:
        name: a name of `DATASETS`, or a custom `DatasetLayout`: the class itself or its name, ``package.module.Class``.

    Raises:
        InputError: there is no such class.
    """
    if not isinstance(name, str):
        if not callable(name):
            raise InputError(f"data.dataset is of the type {type(name).__name__}; give a name, or the class itself.")
        return name
    module, _, attribute = DATASETS.get(name, name).rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"data.dataset={typed(name)} is not a dataset ({error}); choose one of {', '.join(DATASETS)} or name a "
            "class as package.module.Class."
        ) from error


def create_dataset(layout: Callable[..., DatasetLayout], root: str, options: Mapping[str, Any]) -> DatasetLayout:
    """Return a dataset.

    Raises:
        InputError: a custom class lacks a part of `DatasetLayout`.
    """
    dataset = layout(root, **options)
    for part in ("spec", "samples"):
        if not hasattr(type(dataset), part) and part not in getattr(dataset, "__dict__", {}):  # without reading classes
            raise InputError(
                f"The dataset class {type(dataset).__name__} has no attribute {part}; add it as in "
                "regseg.data.datasets.layout.DatasetLayout."
            )
    return dataset


def accepted_options(name: str | Callable[..., DatasetLayout], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a dataset; for a custom class, only those that it accepts.

    A custom class takes the place of another dataset (``data=folder data.dataset=package.module.Class``), whose options
    with default values it need not accept.

    Raises:
        InputError: the dataset has one of our names, and an option is that of another one, as with
            ``data=folder data.dataset=cityscapes``.
    """
    parameters = inspect.signature(dataset_class(name)).parameters
    if name not in DATASETS:
        return {key: value for key, value in options.items() if key in parameters}
    for option in (option for option in options if option not in parameters):
        for other in DATASETS:
            if option in inspect.signature(dataset_class(other)).parameters:
                raise InputError(
                    f"data.{option} is an option of data={other}, not of {name}; type data={name} instead."
                )
    return dict(options)
