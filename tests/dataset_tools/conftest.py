"""A small dataset of two classes."""

import pytest
from checked import CLASSES
from layouts import write_folder


@pytest.fixture
def mine(tmp_path):
    return write_folder(tmp_path / "mine", classes=CLASSES)
