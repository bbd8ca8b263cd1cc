"""Measure speed: ``python -m regseg.benchmark [what=loader]``; see ``--help``."""

from __future__ import annotations

import os
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.errors import InputError, check_number, check_options


@entry_point("benchmark")
def main(cfg: DictConfig) -> None:
    """Run the benchmark ``what`` and print its table."""
    OmegaConf.resolve(cfg)
    if cfg.what not in WHAT:
        raise InputError(f"what={cfg.what} does not exist; choose one of {', '.join(WHAT)}.")
    for name in ("images", "rounds", "steps", "epochs"):
        check_number(name, cfg[name], lowest=1, integer=True)
    WHAT[cfg.what](cfg)


def loader(cfg: DictConfig) -> None:
    """Images/s per core from each storage and by Pillow, the memory of a worker, and the time of the centroid index."""
    from regseg.benchmarks.loader import benchmark_loader, index_seconds, loader_table, worker_memory

    datamodule = make_datamodule(cfg)
    print(f"{cfg.rounds} rounds of {cfg.images} crops per pipeline, after a warm-up round")
    show(loader_table(benchmark_loader(datamodule, cfg.images, cfg.rounds)))
    print(f"Peak memory of a worker: {worker_memory(datamodule, cfg.images):.0f} MB")
    seconds, cores = index_seconds(datamodule, 100), os.cpu_count()
    print(f"Centroid index of 3000 labels of this size: {30 * seconds:.0f} s on {cores} cores")


def operations(cfg: DictConfig) -> None:
    """Each operation of RandAug compared with Pillow's."""
    from regseg.benchmarks.operations import benchmark_operations, operations_table

    show(operations_table(benchmark_operations()))


def kernels(cfg: DictConfig) -> None:
    """The difference between resampling kernels, for images and labels."""
    from regseg.benchmarks.resizing import compare_kernels, kernels_table

    datamodule = make_datamodule(cfg)
    datamodule.setup("fit")
    show(kernels_table(compare_kernels(datamodule, cfg.images)))


def training(cfg: DictConfig) -> None:
    """Time and memory of a training step, and the hours of a run."""
    import lightning as L
    from hydra.utils import instantiate

    from regseg.benchmarks.training_step import benchmark_training, describe
    from regseg.models import create_model, title_of
    from regseg.training.schedules import constant
    from regseg.training.task import SegmentationTask

    L.seed_everything(cfg.seed, verbose=False)
    values: Any = OmegaConf.to_container(cfg)
    spec = make_datamodule(cfg).spec
    network = create_model(**check_options("model", values["model"], create_model), num_classes=spec.num_classes)
    data, loss = values["data"], instantiate(values["loss"], _convert_="all")
    task = SegmentationTask(network, spec, loss=loss, scheduler=constant)
    size, batch_size = data["crop_size"], data["batch_size"]
    check_number("data.batch_size", batch_size, lowest=1, integer=True)
    print(f"{title_of(network)}, {cfg.steps} training steps of {batch_size} x {size[0]} x {size[1]}", flush=True)
    found = benchmark_training(task, batch_size, tuple(size), values["trainer"], cfg.steps)
    print(describe(found, batch_size, 2975, cfg.epochs))


WHAT = {"loader": loader, "operations": operations, "kernels": kernels, "training": training}


def make_datamodule(cfg: DictConfig) -> Any:
    """Return the DataModule of the chosen dataset, without worker processes."""
    from hydra.utils import instantiate

    return instantiate(cfg.data, num_workers=0, batch_size=1)


def show(table: Any) -> None:
    """Print a table of rich."""
    from regseg.system.console import plain_console

    plain_console().print(table)


if __name__ == "__main__":
    main()
