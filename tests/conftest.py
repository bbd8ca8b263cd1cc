import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

# Sums then have one order, and the small tensors of tests are not slowed by threads that wait for each other.
torch.set_num_threads(1)
os.environ.setdefault("WANDB_MODE", "offline")  # no test asks the network
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session")
def streets_root(tmp_path_factory):
    """A few small street scenes, drawn once: 9 train, 3 val and 2 test images of 64x128."""
    from regseg.data.streets_drawing import write_streets

    root = tmp_path_factory.mktemp("datasets") / "streets"
    return write_streets(root, height=64, width=128, counts={"train": 9, "val": 3, "test": 2}, seed=7)


@pytest.fixture(scope="session")
def streets_options():
    """Overrides under which ``data=streets`` reads `streets_root`."""
    return ["data=streets", "+data.options={height:64,width:128,seed:7,counts:{train:9,val:3,test:2}}"]


@pytest.fixture(scope="session")
def camvid_root():
    """The real CamVid photographs, where the environment names them."""
    root = os.environ.get("REGSEG_CAMVID")
    if not root or not Path(root).is_dir():
        pytest.skip("needs the 480x360 release of CamVid in the folder that REGSEG_CAMVID names")
    return Path(root)


@pytest.fixture
def run_module(tmp_path):
    """Run ``python -m MODULE ARGUMENTS`` in an empty folder, as a user would."""

    def run(module, *arguments, cwd=tmp_path, env=None, timeout=300):
        command = [sys.executable, "-m", module, *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": "200", **(env or {})}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)

    return run


@pytest.fixture
def compose():
    """Compose a configuration as an entry point would, without running it."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from regseg.config import config_dir, register_resolvers

    register_resolvers()

    def run(*overrides, config="train"):
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return hydra_compose(config, overrides=list(overrides))

    return run
