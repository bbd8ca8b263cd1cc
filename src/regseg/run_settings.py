"""The settings of a run that its continuation must share. Needs neither torch nor Hydra."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regseg.errors import InputError, shortened
from regseg.system.console import shown
from regseg.system.records import section

_SECTIONS = ("seed", "model", "data", "loss", "optimizer", "scheduler")  # settings that a continued run must share
# Except these; instead, the batch over all devices and the files of each split are compared.
_FREE = ("data.root", "data.num_workers", "data.batch_size", "data.val_share", "data.split_by")
_LIMITS = ("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps")
# Further options that change what is trained or how it is scored, with Lightning's defaults.
_TRAINER_OPTIONS = {
    "gradient_clip_val": None,
    "gradient_clip_algorithm": None,
    "sync_batchnorm": False,
    "overfit_batches": 0.0,
    "limit_train_batches": 1.0,
    "limit_val_batches": 1.0,
}
# Lightning's callbacks that average the weights, that change the training otherwise, and that end it.
_AVERAGING = re.compile("Averag")
_CHANGING = re.compile("Accumulation|Finetuning|Pruning|BatchSizeFinder|LearningRateFinder")
_STOPPING = re.compile("Stop|Timer")
_OWN_PACKAGES = ("regseg", "torch", "lightning")
_CUSTOM = re.compile(rf"^(?!(?:{'|'.join(_OWN_PACKAGES)})\.)")  # callbacks of a user's own
# Names of settings in earlier versions. They had SGD, the polynomial schedule and two losses, without a `_target_`.
_RENAMED = {"optimizer.warmup_iters": "scheduler.warmup_iters", "optimizer.power": "scheduler.power"}
_LOSSES = {"cross_entropy": "CrossEntropy", "ohem": "OHEM"}


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration that a continued run must share, by their dotted names.

    A node's ``_target_`` becomes a setting with the node's name and only the class name as value: ``optimizer`` is
    ``SGD``. A checkpoint stores these settings, and must not contain a name that could be imported.
    """
    parts = {part: config[part] for part in _SECTIONS if part in config}
    flat = _flat(parts | {"callbacks": _callbacks(config, _AVERAGING)}, "")
    return current_settings({name: value for name, value in flat.items() if name not in _FREE and "._" not in name})


def options_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return further options that a continued run must share, by their dotted names.

    They are separate from `settings_of`, because checkpoints of earlier versions do not contain them.
    """
    trainer = section(config, "trainer")
    found = {f"trainer.{name}": _or_default(trainer.get(name), default) for name, default in _TRAINER_OPTIONS.items()}
    found |= _flat(_callbacks(config, _CHANGING), "callbacks")
    if "weights" in config:
        found["weights"] = config["weights"]
        found["weights_part"] = config.get("weights_part") if config["weights"] else None
    return {name: value for name, value in found.items() if "._" not in name}


def custom_callbacks_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of custom callbacks by dotted name; they may or may not change the training."""
    found = _flat(_callbacks(config, _CUSTOM), "callbacks")
    return {name: value for name, value in found.items() if "._" not in name}


def check_same_options(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare two results of `options_of`, as `check_settings` does; one path of the weights may be typed differently.

    Raises:
        InputError: an option differs; names the first.
    """
    now = dict(now)
    old, new = before.get("weights"), now.get("weights")
    if isinstance(old, str) and isinstance(new, str) and _absolute(old) == _absolute(new):
        now["weights"] = old
    # Earlier versions did not record all of them.
    missing = {"weights", "weights_part", *(f"trainer.{name}" for name in _TRAINER_OPTIONS)} - before.keys()
    check_settings(folder, before, {name: value for name, value in now.items() if name not in missing})


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _or_default(value: Any, default: Any) -> Any:
    return default if value is None else value


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that an earlier version may have stored, under today's names."""
    if "loss" in settings or "loss.name" not in settings:
        return dict(settings)
    known = {_RENAMED.get(name, name): value for name, value in settings.items() if name != "loss.name"}
    name = str(settings["loss.name"])
    loss = _LOSSES.get(name, name)
    return known | {"data": "SegmentationDataModule", "loss": loss, "optimizer": "SGD", "scheduler": "poly"}


def limits_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ends training: limits by name, None if not set, and as ``stopping`` the options of callbacks."""
    trainer = section(config, "trainer")
    return {name: trainer.get(name) for name in _LIMITS} | {"stopping": _flat(_callbacks(config, _STOPPING), "")}


def images_per_step(config: Mapping[str, Any]) -> Any:
    """Return the images per optimizer step over all devices, or its factors if Lightning sets the number of devices."""
    trainer = section(config, "trainer")
    devices = trainer.get("devices", 1)
    factors = (
        section(config, "data").get("batch_size"),
        len(devices) if isinstance(devices, list) else devices,
        trainer.get("num_nodes", 1),
        trainer.get("accumulate_grad_batches", 1),
    )
    known = all(isinstance(factor, int) and factor > 0 for factor in factors)
    return math.prod(factors) if known else list(factors)


def check_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare two results of `settings_of`.

    Raises:
        InputError: a setting differs; names the first.
    """
    for name in sorted(before.keys() | now.keys(), key=str):  # a crafted checkpoint may contain keys of any type
        if not _same(name, before.get(name), now.get(name)):
            raise InputError(
                f"{shown(folder)} was run with {shortened(str(name))}={shortened(before.get(name))}, but the "
                f"command has {shortened(now.get(name))}; resume it with the former value, use overwrite=true to "
                "replace the run, or start another run with run.name=NAME and weights=FILE."
            )


def _same(name: Any, one: Any, other: Any) -> bool:
    """Compare two values; for Lightning, 1 is one batch and 1.0 all of them."""
    return one == other and not ("_batches" in str(name) and one == 1 and type(one) is not type(other))


def _callbacks(config: Mapping[str, Any], kind: re.Pattern[str]) -> dict[str, Any]:
    """Return the nodes of the callbacks whose class has a name of this ``kind``."""
    nodes = {name: node for name, node in section(config, "callbacks").items() if isinstance(node, Mapping)}
    return {name: node for name, node in nodes.items() if kind.search(str(node.get("_target_")))}


def _flat(value: Any, name: str) -> dict[str, Any]:
    """Return dotted name -> value of everything in ``value``; lists are values, unless they contain nodes."""
    if isinstance(value, (list, tuple)):
        if not any(isinstance(item, Mapping) for item in value):
            return {name: list(value)}
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {name: value}
    found = {name: _class_name(value["_target_"])} if "_target_" in value else {}
    for part, child in value.items():
        if part != "_target_":
            found |= _flat(child, f"{name}.{part}" if name else str(part))
    return found


def _class_name(target: Any) -> str:
    """Return the last part of a dotted name; for a custom module with a digest, because several may share that name."""
    module, _, name = str(target).rpartition(".")
    known = module.partition(".")[0] in _OWN_PACKAGES
    return name if known else f"{name}-{hashlib.sha256(module.encode()).hexdigest()[:8]}"
