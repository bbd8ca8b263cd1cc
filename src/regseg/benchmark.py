"""Measure speed: ``python -m regseg.benchmark [what=loader]``; see ``--help``."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.errors import InputError, check_number


@entry_point("benchmark")
def main(cfg: DictConfig) -> None:
    """Print the tables of ``what``."""
    OmegaConf.resolve(cfg)
    if cfg.what not in WHAT:
        raise InputError(f"what={cfg.what} does not exist; choose one of {', '.join(WHAT)}.")
    check_number("images", cfg.images, lowest=1, integer=True)
    check_number("rounds", cfg.rounds, lowest=1, integer=True)
    WHAT[cfg.what](cfg)


def loader(cfg: DictConfig) -> None:
    """Images/s a core from each storage and by Pillow, the memory of a worker, and the centroid index."""
    from regseg.analysis.loader_benchmark import benchmark_loader, loader_table, worker_memory

    datamodule = make_datamodule(cfg)
    print(f"{cfg.rounds} rounds of {cfg.images} crops by each pipeline, after one that does not count")
    show(loader_table(benchmark_loader(datamodule, cfg.images, cfg.rounds)))
    print(f"peak memory of a worker: {worker_memory(datamodule, cfg.images):.0f} MB")


def operations(cfg: DictConfig) -> None:
    """Each operation of RandAug beside Pillow's."""
    from regseg.analysis.operations_benchmark import benchmark_operations, operations_table

    show(operations_table(benchmark_operations()))


def kernels(cfg: DictConfig) -> None:
    """What each way of shrinking does to images and labels."""
    from regseg.analysis.kernels import compare_kernels, kernels_table

    datamodule = make_datamodule(cfg)
    datamodule.setup("fit")
    show(kernels_table(compare_kernels(datamodule, cfg.images)))


WHAT = {"loader": loader, "operations": operations, "kernels": kernels}


def make_datamodule(cfg: DictConfig) -> Any:
    """The chosen data, read in this process."""
    from hydra.utils import instantiate

    return instantiate(cfg.data, num_workers=0, batch_size=1)


def show(table: Any) -> None:
    """Print a table."""
    from rich.console import Console

    Console().print(table)


if __name__ == "__main__":
    main()
