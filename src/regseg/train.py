"""Train a network: ``python -m regseg.train [GROUP=NAME …] [option=value …]``; ``--help`` lists them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import shrink
from regseg.errors import InputError, check_number, check_options
from regseg.multirun import output_in, own_gpu, queued_again, runs_beside_others
from regseg.run_dir import (
    check_free,
    check_settings,
    claim,
    config_of,
    hold,
    holds_smoke_test,
    images_per_step,
    load_summary,
    provenance,
    read_summary,
    settings_of,
)


@entry_point("train", resumable=True)
def main(cfg: DictConfig) -> float | None:
    """Run one training; return its best mean IoU, for sweepers that optimise."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    check_number("seed", cfg.seed, highest=2**32 - 1, integer=True)
    check_number("trainer.max_epochs", cfg.trainer.max_epochs, lowest=1, integer=True)
    if not isinstance(cfg.overwrite, bool):
        raise InputError(f"overwrite={cfg.overwrite} is neither true nor false.")
    if cfg.trainer.smoke:
        shrink(cfg)
    OmegaConf.resolve(cfg)
    folder, sweep = Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().mode == RunMode.MULTIRUN
    if not sweep and (launcher := HydraConfig.get().runtime.choices["hydra/launcher"]) != "basic":
        raise InputError(f"hydra/launcher={launcher} is for sweeps; add -m, or leave it out.")
    if cfg.table and not sweep:
        raise InputError(f"experiment={cfg.table} is a table of several runs; launch it by -m experiment={cfg.table}.")
    if cfg.table == "table8" and not cfg.weights and not cfg.trainer.smoke:
        raise InputError("experiment=table8 fine-tunes; give weights=FILE of a run of experiment=cityscapes_test.")
    if sweep and not cfg.overwrite:
        # A sweep that is started again skips finished rows and resumes or starts the others.
        cfg.resume = "last"
    if not cfg.trainer.smoke and holds_smoke_test(folder):
        cfg.overwrite = True
    if sweep and queued_again():  # what it would overwrite is its own
        cfg.resume, cfg.overwrite = "last", False
    if runs_beside_others():
        run_beside_others(cfg, folder)
    else:
        run(cfg, folder, spawn=sweep)
    return best_miou(folder)


def run(cfg: DictConfig, folder: Path, *, spawn: bool) -> None:
    """Train unless the run in ``folder`` is finished already; ``spawn`` as for `make_trainer`."""
    if cfg.resume == "last" and not cfg.overwrite and is_done(folder, cfg.trainer):
        check_finished(cfg, folder)
        print(f"Skipping {folder}: already finished.")
    else:
        train(cfg, folder, spawn=spawn)


def run_beside_others(cfg: DictConfig, folder: Path) -> None:
    """`run` in one of several processes: on a GPU of its own, with a line at its begin and end on the terminal."""
    gpu = own_gpu() if cfg.trainer.accelerator in ("auto", "gpu", "cuda") else None
    if gpu is not None and cfg.trainer.devices != 1:
        raise InputError(
            f"trainer.devices={cfg.trainer.devices} does not go with several rows at once, which take a GPU each; "
            "leave out hydra/launcher=parallel."
        )
    if gpu is not None:
        cfg.trainer.devices = [gpu]
    # joblib's processes start others in a way of joblib's, which loader workers cannot be started in.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    print(f"{folder} begins; its output is in output.log there", flush=True)
    with output_in(folder):
        run(cfg, folder, spawn=True)
    miou = best_miou(folder)
    print(f"{folder} is finished" + ("" if miou is None else f", best mIoU {100 * miou:.2f}"), flush=True)


def best_miou(folder: Path) -> float | None:
    """The highest mean IoU of the run in ``folder``; None where nothing was evaluated, or no label left to score."""
    best = load_summary(folder).get("best")
    metrics = best.get("metrics") if isinstance(best, Mapping) else None
    return metrics.get("val/miou") if isinstance(metrics, Mapping) else None


def is_done(folder: Path, trainer: Mapping[str, Any]) -> bool:
    """Whether the run in ``folder`` ended by itself and would not go on under the limits of ``trainer``."""
    summary = load_summary(folder)
    last, before = summary.get("last"), config_of(folder).get("trainer", {})
    if summary.get("status") != "finished" or not isinstance(last, Mapping) or not isinstance(before, Mapping):
        return False  # nothing may have been evaluated
    epochs = before.get("max_epochs") or last.get("epoch", -1) + 1
    others = ("max_steps", "max_time", "min_epochs", "min_steps")
    return trainer["max_epochs"] <= epochs and all(trainer.get(name) == before.get(name) for name in others)


def check_finished(cfg: DictConfig, folder: Path) -> None:
    """Raise InputError if the finished run in ``folder`` had other settings, or was trained on other images."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    from regseg.data.datasets.streets import only_read
    from regseg.training.fingerprint import files_of

    old, new = (
        settings_of(config) | {"data.batch_size x devices": images_per_step(config)}
        for config in (config_of(folder), OmegaConf.to_container(cfg))
    )
    check_settings(folder, old, new)
    before = (load_summary(folder).get("data") or {}).get("files")
    try:
        datamodule = instantiate(cfg.data)
        only_read(datamodule.dataset)
        now = files_of(datamodule)
    except (InputError, InstantiationException):  # a finished run may be kept without its dataset
        return
    if before and before != now:
        raise InputError(
            f"{folder} was trained on other images than {cfg.data.root} holds; replace it by overwrite=true, or give "
            "another run.name=NAME."
        )


def train(cfg: DictConfig, folder: Path, *, spawn: bool = False) -> None:
    """Train as the resolved ``cfg`` says, into ``folder``. Nothing there is touched before all parts are built."""
    from hydra.utils import instantiate
    from lightning.pytorch.utilities import rank_zero_only

    from regseg.training.batch_norm import check_batch_size
    from regseg.training.checkpoints import find_start, insert_record, set_damaged_aside
    from regseg.training.fingerprint import check_continues, fingerprint
    from regseg.training.record import RunRecord, end_noted
    from regseg.training.trainer import make_trainer, quiet

    quiet()
    values = OmegaConf.to_container(cfg)
    # Lightning starts the other processes of a distributed run by the same command, after the first one came here.
    first = rank_zero_only.rank == 0
    if first:
        check_free(folder, resume=cfg.resume, overwrite=cfg.overwrite)
    start = find_start(folder) if cfg.resume and not cfg.overwrite else None
    datamodule = instantiate(cfg.data)
    datamodule.setup("fit")
    task = make_task(values, datamodule.spec, continued=start is not None)
    if not values["trainer"].get("sync_batchnorm"):
        check_batch_size(task.network, datamodule.batch_size, datamodule.hparams.crop_size)
    callbacks = [instantiate(callback) for callback in cfg.callbacks.values() if callback]
    trainer = make_trainer(values["trainer"], folder, callbacks, spawn=spawn)
    common = fingerprint(values, datamodule, trainer)
    if common["iterations"] < 1:
        raise InputError("This training has no iterations; raise trainer.limit_train_batches or trainer.max_steps.")
    change = check_continues(folder, start.fingerprint, common, start.epochs) if start else None
    if first:
        announce_start(cfg, folder, start, change, sweep=spawn)
        check_logger(values["logger"])
    spawned = spawn and trainer.world_size > 1  # then the lock is taken where the training is
    insert_record(trainer, RunRecord(folder, facts_of(values), common, lock=spawned))
    with ExitStack() as lock:
        if first:
            lock.enter_context(hold(folder))
            # Again, because another process may have been here before the lock was taken.
            check_free(folder, resume=cfg.resume, overwrite=cfg.overwrite, held=True)
            if start:
                set_damaged_aside(start)
            claim(folder, values, keep=bool(cfg.resume) and not cfg.overwrite)
        if spawned:
            lock.close()
        with end_noted(folder):
            fit(trainer, task, datamodule, values, folder, start)
    if trainer.is_global_zero:
        print_result(folder, datamodule.spec.excluded)


def facts_of(values: dict[str, Any]) -> dict[str, Any]:
    """What a run's summary holds besides its results."""
    return {"seed": values["seed"], **provenance(), "config": values}


def announce_start(cfg: DictConfig, folder: Path, start: Any, change: str | None, *, sweep: bool) -> None:
    """Say where the run continues and what is different, or that there is nothing to continue from."""
    nothing = f"{folder} holds nothing to continue from; starting at epoch 0."
    notes = [start.note, change] if start else [nothing] if cfg.resume and not sweep else []
    for note in filter(None, notes):
        print(note)


def check_logger(options: dict[str, Any]) -> None:
    """Raise InputError where the logger could not send the run, before anything is written."""
    if options["name"] == "wandb" and not options["offline"]:
        from regseg.training.loggers import check_login

        check_login()


def fit(trainer: Any, task: Any, datamodule: Any, values: dict[str, Any], folder: Path, start: Any) -> None:
    """Train, with the run's logger around it."""
    with logger_of(values, folder) as logger:
        trainer.logger = logger
        if trainer.is_global_zero:
            print_plan(values, task, datamodule, folder, start)
        trainer.fit(task, datamodule, ckpt_path=start.path if start else None, weights_only=True)


def make_task(values: dict[str, Any], spec: Any, *, continued: bool) -> Any:
    """The network with its first weights, unless the run is ``continued``, and what trains it."""
    import lightning as L

    from regseg.models import create_model, load_weights
    from regseg.training.task import SegmentationTask

    L.seed_everything(values["seed"], verbose=False)  # right before the weights are drawn (Sec. 4.3)
    network = create_model(**check_options("model", values["model"], create_model), num_classes=spec.num_classes)
    if values["weights"] and not continued:
        load_weights(network, values["weights"])
    loss = dict(values["loss"])
    optimizer = check_options("optimizer", values["optimizer"], SegmentationTask, network, spec)
    return SegmentationTask(network, spec, loss=loss.pop("name"), loss_options=loss, **optimizer)


@contextmanager
def logger_of(values: dict[str, Any], folder: Path) -> Iterator[Any]:
    """The chosen logger beside metrics.csv, closed at the end: a sweep's next run must not log into it."""
    options = dict(values["logger"])
    if options.pop("name") == "csv":
        yield None
        return
    from regseg.training.loggers import close, wandb_logger

    try:
        yield wandb_logger(folder, group=values["run"]["group"], name=run_label(values), config=values, **options)
    finally:
        close()


def run_label(values: dict[str, Any]) -> str:
    """What a dashboard calls the run: its row and seed."""
    return f"{values['run']['name']}_seed{values['seed']}"


def print_plan(values: dict[str, Any], task: Any, datamodule: Any, folder: Path, start: Any) -> None:
    """Two lines: what is about to run, and where its results go."""
    from regseg.models import count_parameters, title_of

    parameters = count_parameters(task.network) / 1e6
    print(
        f"{title_of(task.network)}, {parameters:.2f} M parameters, on {datamodule.spec.name} "
        f"({datamodule.train_split} to {datamodule.val_split}), {values['trainer']['max_epochs']} epochs, "
        f"batch {datamodule.batch_size}, seed {values['seed']}"
    )
    print(f"into {folder}" + (f", continuing from {start.path.name} at epoch {start.epochs}" if start else ""))


def print_result(folder: Path, excluded: tuple[str, ...]) -> None:
    """The last evaluation's table, the best one's means, and where things lie."""
    from regseg.training.metrics import Scores
    from regseg.training.progress import print_scores

    summary = read_summary(folder)
    last, best = summary["last"], summary["best"]
    if last is None:
        print(f"nothing was evaluated; the weights are in {folder}")
        return
    scores = Scores.from_metrics(last["metrics"])
    print(f"epoch {last['epoch']} on the split {summary['config']['data']['val_split']}")
    print_scores(scores, excluded)
    if best["metrics"]["val/miou"] is not None:  # it is where no label was left to score
        print(f"best mIoU {100 * best['metrics']['val/miou']:.2f} at epoch {best['epoch']}")
    for picture in sorted((folder / "pictures").glob("*.png"))[-1:]:
        print(f"predictions: {picture}")
    print(f"everything else: {folder}")


if __name__ == "__main__":
    main()
