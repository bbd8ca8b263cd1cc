import os
import subprocess
import sys
from pathlib import Path

import pytest

import regseg


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(tmp_path):
    """Build and install the wheel and use it in another folder: conf/ ships as regseg/conf."""
    checkout = Path(regseg.__file__).parents[2]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, checkout], check=True)
    (wheel,) = tmp_path.glob("regseg-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)
    assert (tmp_path / "site/regseg/conf/model/backbone/dilation_1_14.yaml").exists()
    assert (tmp_path / "site/regseg/py.typed").exists()
    tables = {path.name for path in (checkout / "experiments").glob("*.*")}
    assert tables == {path.name for path in (tmp_path / "site/regseg/experiments").iterdir()}
    code = "import regseg.config; print(regseg.config.config_dir())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": True}
    found = subprocess.run([sys.executable, "-c", code], **run).stdout.strip()
    assert Path(found) == tmp_path / "site/regseg/conf"
    composed = subprocess.run([sys.executable, "-m", "regseg.train", "--cfg", "job", "experiment=demo"], **run)
    assert "dilation_1_14" in composed.stdout
    report = subprocess.run([tmp_path / "site/bin/regseg", "report", "table=9"], **run)  # the console script
    assert "| RegSeg | none | 78.13 ± 0.48 | 78.3 | 30 | 1024x2048 | 3.34 | 39.1 |" in report.stdout
