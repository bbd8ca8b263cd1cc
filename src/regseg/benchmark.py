"""Measure speed: ``python -m regseg.benchmark [what=loader]``; see ``--help``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import values_of
from regseg.errors import InputError, check_boolean, check_number, check_options, typed
from regseg.system.console import plain_console

if TYPE_CHECKING:
    from torch import nn

    from regseg.data.datamodule import SegmentationDataModule


@entry_point("benchmark")
def main(cfg: DictConfig) -> None:
    """Run the benchmark ``what`` and print its table."""
    OmegaConf.resolve(cfg)
    if cfg.what not in WHAT:
        raise InputError(f"what={typed(cfg.what)} does not exist; choose one of {', '.join(WHAT)}.")
    for name in ("images", "rounds", "steps", "epochs", "iterations"):
        check_number(name, cfg[name], lowest=1, integer=True)
    check_number("seed", cfg.seed, highest=2**32 - 1, integer=True)
    for name in ("int8", "memory"):
        check_boolean(name, cfg[name])
    WHAT[cfg.what](cfg)


def loader(cfg: DictConfig) -> None:
    """Measure the images/s of each storage and of Pillow, a worker's memory, and the time of the centroid index."""
    from regseg.benchmarks.loader import benchmark_loader, index_seconds, loader_table, worker_memory

    datamodule = make_datamodule(cfg)
    print(f"{cfg.rounds} rounds of {cfg.images} crops per pipeline, after a warm-up round")
    plain_console().print(loader_table(benchmark_loader(datamodule, cfg.images, cfg.rounds)))
    print(f"Peak memory of a worker: {worker_memory(datamodule, cfg.images):.0f} MB")
    seconds, cores = index_seconds(datamodule, 100), os.cpu_count()
    print(f"Centroid index of 3000 labels of this size: {30 * seconds:.0f} s on {cores} cores")


def operations(cfg: DictConfig) -> None:
    """Compare each operation of RandAug with Pillow's."""
    from regseg.benchmarks.operations import benchmark_operations, operations_table

    plain_console().print(operations_table(benchmark_operations()))


def kernels(cfg: DictConfig) -> None:
    """Compare resampling kernels, for images and labels."""
    from regseg.benchmarks.resizing import compare_kernels, kernels_table

    datamodule = make_datamodule(cfg)
    datamodule.setup("fit")
    plain_console().print(kernels_table(compare_kernels(datamodule, cfg.images)))


def training(cfg: DictConfig) -> None:
    """Measure the time and memory of a training step, and estimate the hours of a run."""
    import lightning as L

    from regseg.benchmarks.training_step import benchmark_training, describe
    from regseg.models import build_model, title_of
    from regseg.training.schedules import constant
    from regseg.training.task import SegmentationTask

    L.seed_everything(cfg.seed, verbose=False)
    values = values_of(cfg)
    spec = make_datamodule(cfg).spec
    network = build_model(**check_options("model", values["model"], build_model), num_classes=spec.num_classes)
    data, loss = values["data"], instantiate(values["loss"], _convert_="all")
    task = SegmentationTask(network, spec, loss=loss, scheduler=constant)
    size, batch_size = data["crop_size"], data["batch_size"]
    check_number("data.batch_size", batch_size, lowest=1, integer=True)
    print(f"{title_of(network)}, {cfg.steps} training steps of {batch_size} x {size[0]} x {size[1]}", flush=True)
    found = benchmark_training(task, batch_size, tuple(size), values["trainer"], cfg.steps)
    print(describe(found, batch_size, 2975, cfg.epochs))


def inference(cfg: DictConfig) -> None:
    """Time inference with every installed runtime; with ``networks=all``, of every network of the paper."""
    from regseg.benchmarks.inference import benchmark_inference, draw, inference_tables
    from regseg.benchmarks.results import machine, write_results

    sizes = checked_sizes(cfg.sizes)
    check_number("warm_up", cfg.warm_up, integer=True)
    few = cfg.networks == "all"
    configs: dict[str, Any] = {}
    results: list[dict[str, Any]] = []
    folder = Path(cfg.out)
    for title, network in networks(cfg):
        print(title, flush=True)
        options = {"few": few, "int8": cfg.int8, "memory": cfg.memory}
        rows = benchmark_inference(network, title, sizes, cfg.warm_up, cfg.iterations, **options)
        for table in inference_tables(rows):
            plain_console().print(table)
        configs[title] = network.config
        results += rows
        # After each network, because all of them take minutes.
        path = write_results(results, folder, "inference", iterations=cfg.iterations, networks=configs)
    plain_console().print(f"{machine()}; {cfg.iterations} interleaved iterations, one image at a time")
    print(f"results: {path}")
    draw(results, folder / "inference.png")
    print(f"plot: {folder / 'inference.png'}")


def blocks(cfg: DictConfig) -> None:
    """Time the Y block and D blocks of several rates (Table 1)."""
    from regseg.benchmarks.blocks import benchmark_blocks, blocks_table, draw
    from regseg.benchmarks.results import machine, write_results

    check_number("warm_up", cfg.warm_up, integer=True)
    rows = benchmark_blocks(cfg.warm_up, cfg.iterations)
    plain_console().print(blocks_table(rows))
    plain_console().print(f"{machine()}; paper: T4")
    folder = Path(cfg.out)
    print(f"results: {write_results(rows, folder, 'blocks', iterations=cfg.iterations)}")
    draw(rows, machine(), folder / "blocks.png")
    print(f"plot: {folder / 'blocks.png'}")


def networks(cfg: DictConfig) -> Iterator[tuple[str, nn.Module]]:
    """Yield (title, network) of the model group or the paper's tables, with 19 classes and random or given weights."""
    from regseg.models import build_model, load_model, title_of
    from regseg.models.factory import all_networks

    if cfg.networks not in (None, "all"):
        raise InputError(f"networks={typed(cfg.networks)} does not exist; write networks=all or leave it out.")
    if cfg.networks == "all":
        yield from all_networks(19)
    elif cfg.weights is not None:
        network = load_model(cfg.weights)
        yield title_of(network), network
    else:
        options = check_options("model", values_of(cfg.model), build_model)
        network = build_model(**options, num_classes=19)
        yield title_of(network), network


def checked_sizes(sizes: Any) -> list[tuple[int, int]]:
    """Return ``sizes`` as pairs (height, width).

    Raises:
        InputError: ``sizes`` is not a list of pairs of integers of at least 32.
    """
    pairs = list(sizes) if OmegaConf.is_list(sizes) else []
    if not pairs or not all(OmegaConf.is_list(pair) and len(pair) == 2 for pair in pairs):
        raise InputError(
            f"sizes={typed(sizes)} is not a list of heights and widths; write 'sizes=[[1024,2048],[720,960]]'."
        )
    for pair in pairs:
        for side in pair:
            check_number("sizes", side, lowest=32, integer=True)
    return [(pair[0], pair[1]) for pair in pairs]


WHAT = {
    "loader": loader,
    "operations": operations,
    "kernels": kernels,
    "training": training,
    "inference": inference,
    "blocks": blocks,
}


def make_datamodule(cfg: DictConfig) -> SegmentationDataModule:
    """Return the DataModule of the chosen dataset, without worker processes."""
    return instantiate(cfg.data, num_workers=0, batch_size=1)


if __name__ == "__main__":
    main()
