"""`import regseg`: its names, its version, and no wait for torch."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import regseg

ROOT = Path(__file__).parents[1]


def test_import_is_instant():
    """PEP 562: torch is imported by the first use of a name, not by `import regseg`."""
    code = "import sys, regseg; assert 'torch' not in sys.modules; regseg.list_models(); assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists():
    for name in regseg.__all__:
        assert getattr(regseg, name)
        assert name in dir(regseg)
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        _ = regseg.creat_model


def test_version_is_that_of_the_package():
    assert regseg.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
