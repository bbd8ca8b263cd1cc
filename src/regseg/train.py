"""Train a network: ``python -m regseg.train [GROUP=NAME …] [option=value …]``; ``--help`` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from regseg.arguments import key_of
from regseg.auto_values import fill_in
from regseg.cli import entry_point
from regseg.config import is_typed, values_of
from regseg.continuation import entered
from regseg.errors import InputError, check_boolean, check_choice, check_number, check_options, counted, typed
from regseg.multirun import (
    beginning_of_sweep,
    check_launch,
    command_of_sweep,
    is_one_of_several,
    queued_again,
    run_in_parallel,
    slurm_job,
)
from regseg.run_dir import best_miou, check_finished, check_free, is_done, lock_folder, prepare_folder
from regseg.run_start import beginning, check_names, check_overwrite, check_weights, how_to_start
from regseg.smoke import shrink
from regseg.system.console import shown
from regseg.system.processes import is_rank, printed_once
from regseg.system.provenance import provenance
from regseg.system.signals import is_first
from regseg.system.weights_files import PARTS

if TYPE_CHECKING:
    from lightning import Trainer

    from regseg.data.datamodule import SegmentationDataModule
    from regseg.data.datasets.spec import DatasetSpec
    from regseg.training.checkpoints import Start
    from regseg.training.task import SegmentationTask


@entry_point("train", resumable=True)
def main(cfg: DictConfig) -> float | None:
    """Run one training; return its best mean IoU, for sweepers that optimize."""
    hydra, folder = HydraConfig.get(), Path(HydraConfig.get().runtime.output_dir)
    sweep = hydra.mode == RunMode.MULTIRUN
    check_launch(cfg.table, hydra.runtime.choices["hydra/launcher"], sweep=sweep)
    OmegaConf.resolve(cfg)
    check_groups(cfg)
    fill_in(cfg)
    check_options_of_run(cfg)
    typed = {key_of(text) for text in hydra.overrides.task}
    if cfg.trainer.smoke:
        shrink(cfg, typed)
    elif not typed & {"data", "experiment"}:
        with printed_once():
            print(
                f"No dataset was chosen: training for {counted(cfg.trainer.max_epochs, 'epoch')} on synthetic streets "
                "(data=streets). Choose a dataset with data=NAME, or a short run with experiment=demo."
            )
    requeued = slurm_job() if queued_again() else None
    cfg.resume, cfg.overwrite = how_to_start(folder, cfg, sweep=sweep, requeued=requeued)
    if is_one_of_several():
        run_in_parallel(partial(run, cfg, folder, spawn=True), folder, cfg.trainer)
    else:
        run(cfg, folder, spawn=sweep)
    return best_miou(folder)


def check_groups(cfg: DictConfig) -> None:
    """Raise InputError unless every group that a run needs contains options; a user's file may contain anything."""
    for name in ("model", "data", "loss", "optimizer", "scheduler", "trainer", "callbacks", "logger"):
        if not OmegaConf.is_dict(node := cfg.get(name)) and (name not in ("callbacks", "logger") or node):
            raise InputError(f"{name}={typed(node)} contains no options; choose a file of the group {name}.")
    if {"evaluation", "last"}.isdisjoint(cfg.get("callbacks") or {}):
        raise InputError(
            "The callbacks of `default`, which evaluate and save a run, are missing; type 'callbacks=[default,NAME]' "
            "to add others, and callbacks.NAME=null to remove one."
        )
    for group, kind in (("callbacks", "callback"), ("logger", "logger")):
        for name, node in (cfg.get(group) or {}).items():
            if node and "_target_" not in cfg[group] and not (OmegaConf.is_dict(node) and "_target_" in node):
                raise InputError(f"{group}.{name} must be a {kind} with a _target_; {group}.{name}=null removes it.")
    if cfg.data.get("augment", True) is None:
        raise InputError("data.augment=null would still flip images; use data.augment.flip=0 to flip none.")


def check_options_of_run(cfg: DictConfig) -> None:
    """Raise InputError if an option of the run itself has an invalid value, or one that its table needs has none."""
    from regseg.reporting.published import needs_of

    check_number("seed", cfg.seed, highest=2**32 - 1, integer=True)
    check_number("trainer.max_epochs", cfg.trainer.max_epochs, lowest=1, integer=True)
    check_overwrite(cfg.overwrite)
    check_choice("weights_part", cfg.weights_part, PARTS)
    check_boolean("trainer.smoke", cfg.trainer.smoke)
    check_names(cfg.run)
    for option, what in needs_of(cfg.table).items() if cfg.table and not cfg.trainer.smoke else ():
        if not OmegaConf.select(cfg, key_of(option)):
            raise InputError(f"experiment={cfg.table} needs {option}, {what}.")


def run(cfg: DictConfig, folder: Path, *, spawn: bool) -> None:
    """Train unless the run in ``folder`` is finished already; ``spawn`` as for `make_trainer`."""
    if cfg.resume == "last" and not cfg.overwrite and is_done(folder, values_of(cfg)):
        check_finished(folder, values_of(cfg), found_data(cfg.data))
        with printed_once():
            print(f"Skipping {shown(folder)}: already finished.")
    else:
        from regseg.training.record import end_noted

        # The main process records how the run ended once it has the folder; a rank's earlier mistake would be lost.
        with end_noted(folder) if is_rank() else nullcontext():
            train(cfg, folder, spawn=spawn)


def found_data(data: DictConfig) -> dict[str, Any] | None:
    """Return `data_of` the dataset; None if it is missing, since a finished run may be kept without its dataset."""
    from regseg.data.datasets.streets import only_read
    from regseg.training.resume_check import data_of

    try:
        datamodule = instantiate(data)
        only_read(datamodule.dataset)
        return data_of(datamodule)
    except (InputError, InstantiationException):
        return None


def train(cfg: DictConfig, folder: Path, *, spawn: bool = False) -> None:
    """Train into ``folder`` as the resolved ``cfg`` describes. Nothing there is touched before all parts are built."""
    from regseg.training.checkpoints import find_start, insert_record, written_at
    from regseg.training.progress import print_result, print_start
    from regseg.training.record import RunRecord, end_noted
    from regseg.training.resume_check import check_continues, fingerprint
    from regseg.training.trainer import quiet

    quiet()
    values = values_of(cfg)
    # Lightning starts the other processes of a distributed run with the same command, once the first one gets here.
    first = is_first()
    if first:
        check_free(folder, resume=cfg.resume, overwrite=cfg.overwrite)
    keep = bool(cfg.resume) and not cfg.overwrite
    written = written_at(folder)
    start = find_start(folder) if keep else None
    task, datamodule, trainer = make_parts(cfg, values, folder, continued=start is not None, spawn=spawn)
    common = fingerprint(values, datamodule, trainer)
    if common["iterations"] < 1:
        raise InputError("This run has no training iterations; raise trainer.limit_train_batches or trainer.max_steps.")
    change = check_continues(folder, start.fingerprint, common, start.epochs, start.iterations) if start else None
    if first:
        print_start(folder, start, change, asked=bool(cfg.resume) and not spawn)
    spawned = spawn and trainer.world_size > 1  # then the spawned training process takes the lock
    began = beginning(folder, keep=keep, earliest=beginning_of_sweep())
    trained = start.epochs if start else 0
    insert_record(trainer, RunRecord(folder, facts_of(values, began), common, trained=trained, lock=spawned))
    with ExitStack() as lock:
        if first:
            lock.enter_context(lock_folder(folder))
            enter(cfg, values, folder, start, written, keep=keep)
        entered()  # in every process of a distributed run, each of which prints how to continue
        if spawned:
            lock.close()
        with end_noted(folder):
            fit(trainer, task, datamodule, values, folder, start)
    if trainer.is_global_zero:
        print_result(folder, datamodule.spec.excluded, next_step=not spawn)


def enter(
    cfg: DictConfig, values: dict[str, Any], folder: Path, start: Start | None, written: dict[str, int], *, keep: bool
) -> None:
    """Prepare the locked ``folder`` for the run.

    Args:
        cfg: The configuration.
        values: The configuration as plain values.
        folder: The run's folder.
        start: The checkpoint from which the run continues; None for a new run.
        written: The result of `written_at` before ``start`` was found.
        keep: Whether an earlier run is continued, not replaced.

    Raises:
        InputError: The checkpoints changed since then, because another process trained in the folder; or a new run
            would replace its own initial weights.
    """
    from regseg.training.checkpoints import set_damaged_aside, written_at

    check_free(folder, resume=cfg.resume, overwrite=cfg.overwrite, held=True)
    if keep and written_at(folder) != written:
        raise InputError(f"Another process trained in {shown(folder)} while this command started; repeat the command.")
    if start:
        set_damaged_aside(start)
    else:
        check_weights(folder, values["weights"])
    prepare_folder(folder, values, keep=keep, job=slurm_job())


def make_parts(
    cfg: DictConfig, values: dict[str, Any], folder: Path, *, continued: bool, spawn: bool
) -> tuple[SegmentationTask, SegmentationDataModule, Trainer]:
    """Return the task, the DataModule, and the Trainer with its callbacks and loggers."""
    from regseg.training.batch_norm import check_batch_size
    from regseg.training.trainer import make_trainer

    datamodule = instantiate(cfg.data)
    datamodule.setup("fit")
    task = make_task(values, datamodule.spec, continued=continued)
    if not values["trainer"].get("sync_batchnorm"):
        check_batch_size(task.network, datamodule.batch_size, datamodule.hparams.crop_size)
    callbacks = [instantiate(callback) for callback in cfg.callbacks.values() if callback]  # false and null remove one
    trainer = make_trainer(values["trainer"], folder, callbacks, spawn=spawn, chosen=is_typed("trainer.precision"))
    trainer.loggers = [instantiate(node) for node in nodes_of(cfg.get("logger") or {})]
    return task, datamodule, trainer


def make_task(values: dict[str, Any], spec: DatasetSpec, *, continued: bool) -> SegmentationTask:
    """Return the task: the network, with its initial weights unless the run is ``continued``, loss and optimizer."""
    import lightning as L

    from regseg.models import build_model, load_weights
    from regseg.training.task import SegmentationTask

    L.seed_everything(values["seed"], verbose=False)  # right before the weights are initialized (Sec. 4.3)
    network = build_model(**check_options("model", values["model"], build_model), num_classes=spec.num_classes)
    if values["weights"] and not continued:
        with printed_once():
            load_weights(network, values["weights"], part=values["weights_part"], classes=spec.classes)
    parts = {name: instantiate(values[name], _convert_="all") for name in ("loss", "optimizer", "scheduler")}
    return SegmentationTask(network, spec, **parts)


def nodes_of(group: Mapping[str, Any]) -> list[Any]:
    """Return the nodes of a group that contains one node, or several by name."""
    return [group] if "_target_" in group else [node for node in group.values() if node]


def facts_of(values: dict[str, Any], began: str | None) -> dict[str, Any]:
    """Return the content of a run's summary other than its results."""
    job = {"slurm_job": slurm_job()} if slurm_job() else {}
    return {"seed": values["seed"], "began": began, **provenance(command_of_sweep()), **job, "config": values}


def fit(
    trainer: Trainer,
    task: SegmentationTask,
    datamodule: SegmentationDataModule,
    values: dict[str, Any],
    folder: Path,
    start: Start | None,
) -> None:
    """Train, and close the loggers at the end: a sweep's next run must not log into them."""
    from regseg.training.checkpoints import restoring
    from regseg.training.progress import print_plan

    try:
        if trainer.is_global_zero:
            print_plan(values, task, datamodule, folder, start)
        with restoring(start):
            trainer.fit(task, datamodule, ckpt_path=start.path if start else None, weights_only=True)
    finally:
        for logger in trainer.loggers:
            if hasattr(logger, "close"):
                logger.close()


if __name__ == "__main__":
    main()
