"""Describe networks: ``python -m regseg.describe [all=true]``; ``--help`` lists the options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import values_of
from regseg.errors import InputError, check_boolean, check_number

if TYPE_CHECKING:
    from torch import Tensor, nn


@entry_point("describe")
def main(cfg: DictConfig) -> None:
    """Print the description of one network or of all; draw the field of view if ``picture`` is set."""
    if cfg.format not in ("text", "json"):
        raise InputError(f"format={cfg.format} does not exist; choose text or json.")
    if not OmegaConf.is_list(cfg.size) or len(cfg.size) != 2:
        raise InputError(f"size={cfg.size} is not a height and a width; use size=[1024,2048].")
    for side in cfg.size:
        check_number("size", side, lowest=32, integer=True)
    if cfg.picture and Path(str(cfg.picture)).suffix not in (".png", ".pdf", ".svg", ".jpg"):
        raise InputError(f"picture={cfg.picture} has an unknown format; write picture=field_of_view.png.")
    from regseg.models.factory import all_networks
    from regseg.reporting.network_figures import (
        describe_with_paper,
        print_blocks,
        print_differences,
        print_needed,
        print_speeds,
        print_table,
    )
    from regseg.reporting.speeds import read_speeds, speed_of

    check_boolean("all", cfg.all)
    size = (cfg.size[0], cfg.size[1])
    networks = dict(all_networks(cfg.num_classes) if cfg.all else chosen_network(cfg))
    descriptions = {title: describe_with_paper(network, size) for title, network in networks.items()}
    if speeds := read_speeds(cfg.benchmark):
        for title, facts in descriptions.items():
            facts["speed"] = {"machine": speeds.machine, "fps": speed_of(speeds, title, size)}
    if cfg.format == "json":
        print(json.dumps(descriptions, indent=2))
    else:
        print_table(descriptions)
        print_needed(descriptions)
        print_speeds(descriptions)
        if not cfg.all:
            print_blocks(descriptions)
        print_differences(descriptions)
    if cfg.picture:
        draw(cfg, networks, size)


def chosen_network(cfg: DictConfig) -> Iterator[tuple[str, nn.Module]]:
    """Yield (title, network) of the model group, with ``weights`` loaded if they are given."""
    from regseg.models import build_model, load_weights, title_of

    network = build_model(**values_of(cfg.model), num_classes=cfg.num_classes)
    if cfg.weights:
        load_weights(network, cfg.weights)
    yield title_of(network), network


def draw(cfg: DictConfig, networks: dict[str, nn.Module], size: tuple[int, int]) -> None:
    """Draw the field of view into ``picture`` and print its path."""
    from regseg.reporting.field_of_view import draw_field_of_view

    if len(networks) > 1:
        raise InputError("picture shows a single network; remove all=true.")
    images = None if cfg.images is None else read_images(Path(cfg.images), size, cfg.count)
    check_number("count", cfg.count, lowest=1, integer=True)
    print("Drawing the field of view…", flush=True)
    print(f"Picture: {draw_field_of_view(networks, cfg.picture, images=images, size=size)}")


def read_images(folder: Path, size: tuple[int, int], count: int) -> list[Tensor]:
    """Read up to ``count`` images of a folder, evenly spaced, as normalized (1, 3, H, W) float tensors of ``size``."""
    import cv2
    import torch

    from regseg.data.augment.transforms import normalize
    from regseg.data.datasets.layout import image_files
    from regseg.data.io import read_image

    files = image_files(folder) if folder.is_dir() else []
    if not files:
        raise InputError(f"{folder} contains no images; set images to a folder that does.")
    chosen = files[:: max(1, len(files) // count)][:count]
    resized = (cv2.resize(read_image(path), size[::-1], interpolation=cv2.INTER_AREA) for path in chosen)
    return [normalize(torch.from_numpy(image)[None]) for image in resized]


if __name__ == "__main__":
    main()
