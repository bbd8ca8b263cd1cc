"""The fingerprint of a training: what a run must share with its continuation, and the comparison of two runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L

from regseg.data.cache_dir import relative
from regseg.data.datasets.layout import list_samples
from regseg.errors import Consequence, InputError, counted, shortened
from regseg.run_settings import (
    check_same_options,
    check_settings,
    current_settings,
    custom_callbacks_of,
    options_of,
    settings_of,
)
from regseg.system.console import shown
from regseg.system.records import section
from regseg.training.schedules import EXTENSIBLE, total_iterations

_END = "use overwrite=true to replace the run, or start another run with run.name=NAME."


def fingerprint(config: Mapping[str, Any], datamodule: Any, trainer: L.Trainer) -> dict[str, Any]:
    """Return what a run must share with its continuation.

    Args:
        config: The run's configuration.
        datamodule: Its DataModule, set up for training.
        trainer: Its Trainer.

    Returns:
        Plain values: ``settings``, ``options`` and ``custom_callbacks`` (by dotted name), ``classes``,
        ``excluded`` (of them), ``labels`` (their encoding in label files), ``files`` (number of files and
        digest of their names, per split), ``batch`` (images per optimizer step over all devices),
        ``precision``, ``iterations`` (of the whole schedule), ``max_epochs`` and ``max_steps``.
    """
    settings = settings_of(config) | {"data.dataset": datamodule.hparams.dataset}
    return {
        "settings": settings,
        "options": options_of(config),
        "custom_callbacks": custom_callbacks_of(config),
        **data_of(datamodule),
        "batch": datamodule.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
        "precision": str(trainer.precision),
        "iterations": total_iterations(trainer, datamodule),
        "max_epochs": trainer.max_epochs,
        "max_steps": trainer.max_steps,
    }


def data_of(datamodule: Any) -> dict[str, Any]:
    """Return the part of a fingerprint that describes the dataset: classes, excluded, labels and files."""
    spec = datamodule.spec.to_dict()
    return {
        "classes": spec["classes"],
        "excluded": spec["excluded"],
        "labels": [[list(pair) for pair in sorted(spec["ids"].items())], spec["color_ids"], spec["excluded"]],
        "files": files_of(datamodule),
    }


def files_of(datamodule: Any) -> dict[str, dict[str, Any]]:
    """Return number and name digest of the files of the training and evaluation splits; the root does not matter."""
    found = {}
    for part, split in (("train", datamodule.train_split), ("val", datamodule.val_split)):
        samples = list_samples(datamodule.dataset, split)
        names = [relative(path, Path(datamodule.hparams.root)) for sample in samples for path in sample]
        text = "\n".join(names).encode("utf-8", "surrogateescape")
        found[part] = {"count": len(samples), "digest": hashlib.sha256(text).hexdigest()[:16]}
    return found


def check_continues(
    folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], epochs: int, iterations: int
) -> str | None:
    """Check that a run may continue from a checkpoint. Keys that only one fingerprint has are ignored.

    Args:
        folder: The run's folder, for the message.
        before: The fingerprint of the checkpoint.
        now: The fingerprint of the run that would continue.
        epochs: The number of trained epochs.
        iterations: The number of optimizer steps in them.

    Returns:
        A remark on a changed schedule or on changed custom callbacks; None if both are the same.

    Raises:
        InputError: The training would not be the same; names the first difference.
    """
    if isinstance(before.get("settings"), Mapping):
        check_settings(folder, current_settings(before["settings"]), now["settings"])
    if isinstance(before.get("options"), Mapping):
        check_same_options(folder, before["options"], now.get("options", {}))
    _check_data(folder, before, now)
    _check_steps(folder, before, now)
    changed = _differs("iterations", before, now)
    schedule = _changed_schedule(folder, before, now, epochs, iterations) if changed else None
    return " ".join(filter(None, [schedule, _changed_callbacks(before, now)])) or None


def check_processes_agree(strategy: Any, own: Mapping[str, Any]) -> None:
    """Check that all processes of a distributed run train the same; each node has its own command.

    Otherwise they would silently train with different settings, or wait for each other forever.

    Args:
        strategy: The Trainer's strategy, which connects the processes.
        own: What must be the same in all of them: the fingerprint, and the number of ``trained epochs``.

    Raises:
        InputError: They differ; names the first difference in the process that has it.
    """
    own = {name: _plain(value) for name, value in own.items()}
    first = strategy.broadcast(own)
    differing = [name for name in own if own[name] != first.get(name)]
    if strategy.reduce_boolean_decision(not differing, all=True):
        return
    if not differing:
        raise Consequence(
            "Another process of the distributed run has other settings, data or checkpoints; see its message."
        )
    name = differing[0]
    its, ours = first.get(name), own[name]
    if isinstance(its, Mapping) and isinstance(ours, Mapping):
        part = next(key for key in {**its, **ours} if its.get(key) != ours.get(key))
        its, ours, name = its.get(part), ours.get(part), f"{name} {part}" if name == "files" else part
    raise InputError(
        f"This process differs from the first one of the distributed run: {name} is {shortened(ours)}, not "
        f"{shortened(its)}; start all of them with the same options, data and, to continue, the same folder of runs."
    )


def _check_data(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, what in (
        ("classes", "class names, or the same names in a different order"),
        ("labels", "label values of the classes"),
    ):
        if _differs(name, before, now):
            raise InputError(f"{shown(folder)} was trained with different {what}; restore classes.yaml, {_END}")
    for part, split in (("train", "training"), ("val", "evaluation")):
        old, new = (section(section(found, "files"), part) for found in (before, now))
        if old and new and old != new:
            counts = f"{old.get('count')} files, now {new.get('count')}"
            counts = counts if old.get("count") != new.get("count") else f"{new.get('count')} files with other names"
            from_here = f"{_END[:-1]} (weights={shown(folder)} starts it from these weights)."
            raise InputError(
                f"{shown(folder)} was trained on another {split} split ({counts}); restore its files, {from_here}"
            )


def _check_steps(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if _differs("batch", before, now):
        raise InputError(
            f"{shown(folder)} was trained with {before['batch']} images per step (data.batch_size x trainer.devices x "
            f"trainer.accumulate_grad_batches), not {now['batch']}; keep the product the same, {_END}"
        )
    if _differs("precision", before, now):
        raise InputError(
            f"{shown(folder)} was trained with precision {before['precision']}, not {now['precision']}; use "
            f"trainer.precision={before['precision']}, {_END}"
        )


def _changed_schedule(
    folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], epochs: int, iterations: int
) -> str:
    """Return a remark on a schedule of another length; raise InputError unless the user asked for that length."""
    if not _differs("max_epochs", before, now) and not _differs("max_steps", before, now):
        raise InputError(
            f"{shown(folder)} was planned for {before['iterations']} iterations, not {now['iterations']}; set "
            f"trainer.limit_train_batches and trainer.devices as before, {_END}"
        )
    for name, trained, unit in (("max_epochs", epochs, "epoch"), ("max_steps", iterations, "iteration")):
        if now[name] not in (None, -1) and now[name] < trained:
            raise InputError(
                f"{shown(folder)} has been trained for {counted(trained, unit)}, more than trainer.{name}="
                f"{now[name]}; use a larger value, {_END}"
            )
    scheduler = section(now, "settings").get("scheduler", EXTENSIBLE[0])
    if scheduler not in EXTENSIBLE:  # PyTorch restores its length with its state
        raise InputError(
            f"{shown(folder)} was planned for {before['iterations']} iterations, not {now['iterations']}, and "
            f"scheduler={scheduler} cannot change its length; set trainer.max_epochs and trainer.max_steps as before, "
            f"{_END}"
        )
    change = f"The schedule changes from {before['iterations']} to {now['iterations']} iterations"
    if now["iterations"] <= before["iterations"]:
        return f"{change}."
    return f"{change}; the learning rate of the finished epochs followed the old schedule."


def _changed_callbacks(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return a remark on changed custom callbacks; only the user knows whether they change the training."""
    if not _differs("custom_callbacks", before, now):
        return None
    old, new = (section(found, "custom_callbacks") for found in (before, now))
    changed = sorted(shortened(str(name)) for name in {*old, *new} if old.get(name) != new.get(name))
    return f"Custom callbacks differ from those of the finished epochs: {', '.join(changed)}."


def _differs(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return name in before and name in now and _plain(before[name]) != _plain(now[name])


def _plain(value: Any) -> Any:
    """Convert tuples to lists, as a checkpoint or a JSON file returns them."""
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
