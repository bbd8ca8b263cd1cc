"""Experiments compose to the settings of a stored list, so that a change of a file cannot change other settings.

``resolved_configs.json`` contains the settings of the bare defaults as ``defaults``, and for most other compositions
the settings that differ from them; later datasets and experiments are not in it. `RENAMED`, `REPLACED` and `ADDED` give
today's names of the options in that list.
"""

import functools
import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from regseg.config import config_dir
from regseg.run_names import register_resolvers

STORED = json.loads(Path(__file__).with_name("resolved_configs.json").read_text(encoding="utf-8"))
ABSENT = "(absent)"
RENAMED = {"optimizer.warmup_iters": "scheduler.warmup_iters", "optimizer.power": "scheduler.power"}
# An option by its value in the list -> options that replace it, and options that every composition has gained.
REPLACED = {
    ("loss.name", "cross_entropy"): {"loss._target_": "regseg.training.losses.CrossEntropy"},
    ("loss.name", "ohem"): {"loss._target_": "regseg.training.losses.OHEM"},
    ("logger.name", "csv"): {"logger": {}},
}
ADDED = {
    "optimizer._target_": "torch.optim.SGD",
    "optimizer._partial_": True,
    "scheduler._target_": "regseg.training.schedules.poly",
    "scheduler._partial_": True,
    "weights_part": "all",
    "callbacks.evaluation.loss": False,
}
ADDED_TO = {"data=folder": {"data.val_share": 0.2, "data.split_by": "image"}}


@functools.cache
def compositions():
    """Name -> overrides of the defaults, of each dataset, and of each experiment or row of its table."""
    found = {"defaults": []}
    for path in sorted((config_dir() / "data").glob("[!_]*.yaml")):
        found[f"data={path.stem}"] = [f"data={path.stem}"]
    for path in sorted((config_dir() / "experiment").glob("[!_]*.yaml")):
        for job in _jobs(path.stem):
            overrides = [f"experiment={path.stem}", *job]
            found[" ".join(overrides)] = overrides
    return found


def _jobs(experiment):
    cfg = _composed([f"experiment={experiment}"], return_hydra_config=True)
    params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
    overrides = OverridesParser.create().parse_overrides(params)
    return BasicSweeper.split_arguments(overrides, max_batch_size=None)[0] if params else [[]]


def _composed(overrides, **options):
    register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", overrides=list(overrides), **options)


def settings(overrides):
    """Dotted name -> resolved value; but for a run's name where Hydra's command line alone knows it."""
    cfg = _composed(overrides)
    for part in ("group", "name"):
        if str(OmegaConf.to_container(cfg.run)[part]).startswith("${run_"):
            cfg.run[part] = None
    return _flat(OmegaConf.to_container(cfg, resolve=True))


def _flat(values, prefix=""):
    found = {}
    for key, value in values.items():
        nested = isinstance(value, dict) and value
        found |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def stored(name):
    """The settings of a composition in the stored list, by today's names."""
    values = STORED["defaults"] | (STORED[name] if name != "defaults" else {})
    found = ADDED | ADDED_TO.get(name, {})
    for key, value in values.items():
        replacement = REPLACED.get((key, str(value)))
        if value != ABSENT:
            found |= {RENAMED.get(key, key): value} if replacement is None else replacement
    return found


@pytest.fixture(autouse=True)
def datasets_in_their_default_folder(monkeypatch):
    monkeypatch.delenv("REGSEG_DATA", raising=False)


@pytest.mark.parametrize("name", STORED)
def test_settings_are_those_of_the_list(name):
    assert settings(compositions()[name]) == stored(name)
