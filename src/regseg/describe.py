"""Describe networks: ``python -m regseg.describe [all=true]``; ``--help`` lists the options."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from regseg.cli import entry_point
from regseg.config import is_typed, values_of
from regseg.errors import InputError, check_boolean, check_choice, check_number, check_size

if TYPE_CHECKING:
    from torch import Tensor, nn


@entry_point("describe")
def main(cfg: DictConfig) -> None:
    """Print the description of one network or of all; draw the field of view if ``picture`` is set."""
    check_values(cfg)
    from regseg.models.factory import all_networks
    from regseg.reporting.network_figures import describe_with_paper
    from regseg.reporting.speeds import read_speeds, speed_of

    size = (cfg.size[0], cfg.size[1])
    messages = sys.stderr if cfg.format == "json" else sys.stdout  # so that stdout is nothing but JSON
    with redirect_stdout(messages):
        networks = dict(all_networks(cfg.num_classes) if cfg.all else chosen_network(cfg))
    descriptions = {title: describe_with_paper(network, size) for title, network in networks.items()}
    if speeds := read_speeds(cfg.benchmark):
        for title, facts in descriptions.items():
            facts["speed"] = {"machine": speeds.machine, "fps": speed_of(speeds, title, size)}
    if cfg.format == "json":
        print(json.dumps(descriptions, indent=2))
    else:
        print_text(descriptions)
    if cfg.picture:
        with redirect_stdout(messages):
            draw(cfg, networks, size)


def check_values(cfg: DictConfig) -> None:
    """Raise InputError for an option that has an invalid value or cannot be combined with another one."""
    check_choice("format", cfg.format, ("text", "json"))
    check_size("size", cfg.size)
    check_number("count", cfg.count, lowest=1, integer=True)
    check_boolean("all", cfg.all)
    if cfg.picture and Path(str(cfg.picture)).suffix not in (".png", ".pdf", ".svg", ".jpg"):
        raise InputError(f"picture={cfg.picture} has an unknown format; write picture=field_of_view.png.")
    if cfg.images is not None and not cfg.picture:
        raise InputError(
            "images is for the picture of the field of view; add picture=field_of_view.png or remove images."
        )
    for name in ("picture", "weights"):
        if cfg.all and cfg[name]:
            raise InputError(f"{name} is for a single network; remove {name} or all=true.")


def print_text(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print descriptions as tables; of a single network, its blocks too."""
    from regseg.reporting import network_figures

    network_figures.print_table(descriptions)
    network_figures.print_needed(descriptions)
    network_figures.print_speeds(descriptions)
    if len(descriptions) == 1:
        network_figures.print_blocks(descriptions)
    network_figures.print_differences(descriptions)


def chosen_network(cfg: DictConfig) -> Iterator[tuple[str, nn.Module]]:
    """Yield (title, network) of the model group, with ``weights`` and their number of classes if they are given."""
    from regseg.models import build_model, load_weights, title_of
    from regseg.models.weights import classes_of, read_checkpoint

    checkpoint = read_checkpoint(cfg.weights) if cfg.weights else None
    num_classes = cfg.num_classes if checkpoint is None or is_typed("num_classes") else classes_of(checkpoint)
    network = build_model(**values_of(cfg.model), num_classes=num_classes)
    if checkpoint is not None:
        load_weights(network, checkpoint)
    yield title_of(network), network


def draw(cfg: DictConfig, networks: dict[str, nn.Module], size: tuple[int, int]) -> None:
    """Draw the field of view into ``picture`` and print its path."""
    from regseg.reporting.field_of_view import draw_field_of_view

    images = None if cfg.images is None else read_images(Path(str(cfg.images)), size, cfg.count)  # images=2024
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
