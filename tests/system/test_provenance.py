"""The provenance of a run."""

import importlib.metadata
import subprocess
import sys

import pytest

from regseg.system import provenance as module
from regseg.system.provenance import provenance


def test_command_and_versions(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "data.root=my data"])
    recorded = provenance()
    assert recorded["command"].endswith(" 'data.root=my data'")
    assert recorded["versions"]["torch"] == importlib.metadata.version("torch")
    assert provenance("python -m regseg.train")["command"] == "python -m regseg.train"


@pytest.mark.parametrize(
    "error", [OSError(), subprocess.CalledProcessError(128, "git"), subprocess.TimeoutExpired("git", 10)]
)
def test_without_git_there_is_no_commit(monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(module.subprocess, "run", fail)
    assert provenance()["git_commit"] is None


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    """A checkout on PYTHONPATH, or another build of OpenCV."""
    installed = importlib.metadata.version

    def version(name):
        if name in ("regseg", "opencv-python-headless"):
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    versions = provenance()["versions"]
    assert versions["regseg"] is None and versions["opencv-python-headless"] is None and versions["torch"]
