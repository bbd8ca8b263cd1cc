"""A run's folder: its files, its lock, and what may be resumed or overwritten. Needs neither torch nor Hydra.

The folder contains ``config.yaml``, ``summary.json``, ``metrics.csv``, ``checkpoints/{last,previous,best}.ckpt`` and
``pictures/epoch_<n>.png``. Each file is written atomically. The checkpoints are the record of the training;
``metrics.csv`` and ``summary.json`` are written from their contents.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from regseg.errors import InputError, typed
from regseg.run_settings import check_same_options, check_settings, images_per_step, limits_of, options_of, settings_of
from regseg.system.atomic import remove_leftovers, write_text
from regseg.system.console import shown
from regseg.system.locks import Held, is_held, lock
from regseg.system.records import read_csv, read_json, read_text, section

_SIZES = ("val_sizes.json", "val_sizes.png")  # reported as results of weights that a continued run replaces
_EVALUATIONS = (*_SIZES, "evaluation", "confusion.png", "worst.png", "worst.csv")
_LOGS = ("tensorboard", "wandb", "wandb_id.txt")
# In the order in which they are removed. The summary stays: it marks the folder as a run's.
CONTENTS = ("checkpoints", "metrics.csv", "pictures", *_LOGS, *_EVALUATIONS, "config.yaml")


def check_free(folder: Path, *, resume: str | None, overwrite: bool, held: bool = False) -> None:
    """Check that a run may start or continue in ``folder``. Changes nothing.

    Args:
        folder: The run's folder.
        resume: None for a new run, ``last`` to continue after the last finished epoch.
        overwrite: Whether a run in the folder may be replaced.
        held: Whether this process holds the folder's lock, so that a run with the status running was killed.

    Raises:
        InputError: The folder contains results that would be lost, or files that do not belong to a run.
    """
    if resume not in (None, "last"):
        raise InputError(f"resume={typed(resume)} is invalid; use resume=last, or weights=FILE to start from weights.")
    strange = [name for name in CONTENTS if (folder / name).exists()]
    if strange and not (folder / "summary.json").exists():
        raise InputError(
            f"{shown(folder)} contains {strange[0]} but no summary.json, so it may not be a run's folder; choose "
            "another one with run.name=NAME."
        )
    if resume == "last" or overwrite:
        return
    status = status_of(folder)
    status = "interrupted" if held and status == "running" else status
    if status in ("finished", "running") or holds_results(folder):
        remedy = "" if status == "finished" else "resume=last to continue it, "
        raise InputError(
            f"{shown(folder)} contains a run that is {status}; use {remedy}overwrite=true to replace it, or "
            "run.name=NAME to keep both."
        )


def holds_results(folder: Path) -> bool:
    """Return whether a training epoch was finished in ``folder``.

    A run that was killed in its first epoch has no results. Neither has a folder whose run was being replaced. Where
    the summary does not say that no epoch was finished, ``best.ckpt`` counts as a result.
    """
    if is_replaced(folder):
        return False
    summary = load_summary(folder)
    names = ("last.ckpt", "previous.ckpt", *(() if "last" in summary else ("best.ckpt",)))
    kept = any((folder / "checkpoints" / name).exists() for name in names)
    return kept or bool(read_metrics(folder)) or bool(summary.get("last"))


def is_replaced(folder: Path) -> bool:
    """Return whether ``overwrite=true`` was interrupted in ``folder``, so that its files belong to the replaced run."""
    return load_summary(folder).get("replacing") is True


def status_of(folder: Path) -> str:
    """Return a run's status: finished, running, interrupted, failed, or unknown if its summary cannot be read.

    A run with the status running whose lock no process holds was killed, so it is interrupted.
    """
    status = load_summary(folder).get("status")
    if status == "running" and not is_held(folder / ".lock"):
        return "interrupted"
    return status if isinstance(status, str) else "unknown"


def is_done(folder: Path, config: Mapping[str, Any]) -> bool:
    """Return whether the run in ``folder`` ended by itself and the limits in ``config`` do not extend it."""
    summary = load_summary(folder)
    last, now, then = summary.get("last"), limits_of(config), limits_of(config_of(folder))
    if summary.get("status") != "finished" or not isinstance(last, Mapping):
        return False  # a finished run may have no evaluation
    trained = last.get("epoch")
    epochs = then["max_epochs"] or (trained + 1 if type(trained) is int else None)
    if type(epochs) is not int or now["max_epochs"] > epochs:  # `epochs` may have any type in an edited summary
        return False
    stopped = summary.get("ended_by") in ("early_stopping", "max_time")  # otherwise no callback ended it
    return all(now[name] == then[name] for name in now if name != "max_epochs" and (stopped or name != "stopping"))


def check_finished(folder: Path, config: Mapping[str, Any], data: Mapping[str, Any] | None) -> None:
    """Check that the finished run in ``folder`` is the one that ``config`` asks for.

    Args:
        folder: The run's folder.
        config: The resolved configuration of the command.
        data: The dataset, see `regseg.training.resume_check.data_of`; None without the dataset.

    Raises:
        InputError: The run has other settings or was trained on other images or classes.
    """
    before = config_of(folder)
    old, new = (
        settings_of(each)
        | {"data.batch_size x devices": images_per_step(each)}
        | {"trainer.precision": section(each, "trainer").get("precision")}
        for each in (before, config)
    )
    check_settings(folder, old, new)
    check_same_options(folder, options_of(before), options_of(config))
    recorded = section(load_summary(folder), "data")
    for name, what in (("files", "images"), ("classes", "class names"), ("labels", "label values of the classes")):
        if data and recorded.get(name) and recorded[name] != data[name]:
            raise InputError(
                f"{shown(folder)} was trained with different {what} from those in {config['data']['root']}; replace "
                "the run with overwrite=true, or use another run.name=NAME."
            )


def best_miou(folder: Path) -> float | None:
    """Return the highest mean IoU of the run in ``folder``; None without a score."""
    miou = section(section(load_summary(folder), "best"), "metrics").get("val/miou")
    return float(miou) if isinstance(miou, int | float) and 0 <= miou <= 1 else None  # an edited one may be anything


def best_reduced(folder: Path) -> float | None:
    """Return the highest reduced mean IoU of the run in ``folder``, the figure of Tables 4 to 7.

    It may belong to another epoch than the highest mean IoU. None without a score, or if no class is excluded.
    """
    if not section(load_summary(folder), "data").get("excluded"):
        return None
    texts = [row.get("val/miou_reduced") or "nan" for row in read_metrics(folder)]
    with suppress(ValueError):
        return max((value for value in map(float, texts) if value == value), default=None)
    return None


def prepare_folder(folder: Path, config: dict[str, Any], *, keep: bool, job: str | None = None) -> None:
    """Prepare ``folder`` for a run: remove an earlier run unless ``keep``, and write the configuration.

    A kill in between leaves a folder in which the same command, or ``resume=last``, starts from scratch. The id of the
    Slurm ``job`` is recorded.
    """
    keep = keep and not is_replaced(folder)
    new = {"status": "running", "best": None, "last": None}
    summary = (load_summary(folder) or new) if keep else new | {"replacing": True}
    kept = {name: value for name, value in summary.items() if name not in ("error", "ended_by", "slurm_job")}
    write_json(folder / "summary.json", kept | {"status": "running"} | ({"slurm_job": job} if job else {}))
    for name in _SIZES if keep else CONTENTS:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for place in (folder, folder / "checkpoints", folder / "pictures"):
        remove_leftovers(place)
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock ``folder`` against other trainings while the context lasts; the lock of a dead process is released.

    Args:
        folder: The run's folder.

    Yields:
        None.

    Raises:
        InputError: Another process trains in the folder.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(folder / ".lock", wait=False))
        except Held as error:
            raise InputError(
                f"{shown(folder)} is in use by another process that trains there; wait for it or stop it{error.remedy}."
            ) from error
        yield


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Return a run's ``summary.json``; None if there is none yet.

    Args:
        folder: The run's folder.

    Raises:
        InputError: The file is damaged.
    """
    path = Path(folder) / "summary.json"
    if not path.exists():
        return None
    content, problem = read_json(path)
    if problem or not isinstance(content, dict):
        what = f"{path.parent / problem}" if problem else f"{path} is damaged"
        raise InputError(f"{what}; use resume=last or overwrite=true to restore it.")
    return content


def load_summary(folder: Path) -> dict[str, Any]:
    """Return a run's summary; an empty one if it is missing or damaged."""
    try:
        return read_summary(folder) or {}
    except InputError:
        return {}


def config_of(folder: Path) -> Mapping[str, Any]:
    """Return the configuration of a run from its summary, or else from ``config.yaml``; empty without both.

    A ``config.yaml`` with aliases is ignored: this project writes none, and with them a mapping could contain itself.
    """
    if config := section(load_summary(folder), "config"):
        return config
    try:
        text = read_text(folder / "config.yaml")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            return {}
        content = yaml.safe_load(text)
    except Exception:  # unreadable, or PyYAML's many exceptions for text that is not YAML
        return {}
    return content if isinstance(content, Mapping) else {}


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's ``metrics.csv``, one per epoch. Truncated or damaged rows are skipped."""
    table = read_csv(Path(folder) / "metrics.csv")
    rows = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    return [row for row in rows if row.get("epoch", "").isdigit()]


def mark_ended(folder: Path, status: str, error: str = "") -> None:
    """Record how the run in ``folder`` ended, if its status is still running."""
    with suppress(OSError, InputError):
        summary = read_summary(folder)
        if summary is not None and summary.get("status") == "running":
            write_json(folder / "summary.json", summary | {"status": status} | ({"error": error} if error else {}))


def write_metrics(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``metrics.csv`` with a column for each key of any row; None and NaN become empty cells."""
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["epoch"]
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None or value != value else value for key, value in row.items()})
    write_text(Path(folder) / "metrics.csv", text.getvalue())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinity become null."""
    write_text(path, json.dumps(_finite(content), indent=2) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def folder_of_run(weights: str) -> Path:
    """Return the folder of the run that ``weights`` belongs to, or else the current folder."""
    folder = Path(weights).parent
    return folder.parent if folder.name == "checkpoints" and (folder.parent / "summary.json").exists() else Path(".")
