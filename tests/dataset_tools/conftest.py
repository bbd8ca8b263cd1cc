"""A small dataset of two classes, and one with COCO annotations."""

import pytest
from annotated import write_annotated
from checked import CLASSES
from layouts import write_folder


@pytest.fixture
def mine(tmp_path):
    return write_folder(tmp_path / "mine", classes=CLASSES)


@pytest.fixture
def dataset(tmp_path):
    return write_annotated(tmp_path)
