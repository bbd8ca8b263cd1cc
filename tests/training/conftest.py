"""Fixtures for the tests of checkpoints."""

import shutil

import pytest
from trained_runs import train

from regseg.training.trainer import quiet


@pytest.fixture(scope="session")
def trained(streets_root, tmp_path_factory):
    """The folder of a run of two epochs."""
    quiet()
    folder = tmp_path_factory.mktemp("trained")
    train(streets_root, folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")
