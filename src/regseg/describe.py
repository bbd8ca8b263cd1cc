"""Describe networks: ``python -m regseg.describe [all=true]``; ``--help`` lists the options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import values_of
from regseg.errors import InputError, check_number


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
    from regseg.reporting.network_figures import describe_with_paper
    from regseg.reporting.speeds import read_speeds, speed_of

    if not isinstance(cfg.all, bool):
        raise InputError(f"all={cfg.all} is not a boolean; use true or false.")
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


def chosen_network(cfg: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yield (title, network) of the model group, with ``weights`` loaded if they are given."""
    from regseg.models import build_model, load_weights, title_of

    network = build_model(**values_of(cfg.model), num_classes=cfg.num_classes)
    if cfg.weights:
        load_weights(network, cfg.weights)
    yield title_of(network), network


def all_networks(num_classes: int) -> Iterator[tuple[str, Any]]:
    """Yield (title, network) for all models, all backbones (Table 4) and all decoders (Table 5)."""
    from regseg.models import build_model, list_backbones, list_decoders, list_models, title_of

    large = "regseg_large"  # listed as a model; its stem and widths do not fit any other part
    rows = [{"name": name} for name in list_models()]
    rows += [{"backbone": backbone, "decoder": "sum_conv3x3"} for backbone in list_backbones() if backbone != large]
    rows += [{"backbone": "dilation_1_12", "decoder": decoder} for decoder in list_decoders() if decoder != large]
    for row in rows:
        network = build_model(**row, num_classes=num_classes)
        yield title_of(network), network


def print_table(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print one line of at most 80 characters per network, with the paper's value in brackets where it differs."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from regseg.system.console import plain_console

    height, width = next(iter(descriptions.values()))["size"]
    caption = f"GFLOPs at {height}x{width}; the paper's value in brackets where it differs"
    table = Table(caption=caption, box=SIMPLE_HEAD, padding=0)
    table.add_column("network", no_wrap=True)
    for column in ("parameters", "GFLOPs", "field\nof view"):
        table.add_column(column, justify="right")
    for title, facts in descriptions.items():
        paper = {row["quantity"].split()[0]: f" ({row['paper']})" for row in facts["paper"] if row["why"]}
        at_the_papers_size = (height, width) == (1024, 2048)
        table.add_row(
            title,
            f"{facts['parameters']:,}" + paper.get("parameters", ""),
            f"{facts['gflops']:.2f}" + (paper.get("GFLOPs", "") if at_the_papers_size else ""),
            ("–" if facts["field_of_view"] is None else f"{facts['field_of_view']}") + paper.get("field", ""),
        )
    plain_console().print(table)


def print_speeds(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print the images per second that the benchmark measured, if it did."""
    from rich.table import Table

    from regseg.system.console import plain_console

    first = next(iter(descriptions.values()))
    if "speed" not in first:
        return
    height, width = first["size"]
    table = Table(caption=f"Images per second at {height}x{width} on this machine: {first['speed']['machine']}")
    table.add_column("network", no_wrap=True)
    table.add_column("FPS (runtime and precision)", justify="right")
    for title, facts in descriptions.items():
        table.add_row(title, facts["speed"]["fps"])
    plain_console().print(table)


def print_needed(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print which of the fields of view that Sec. 3.1 asks for each network reaches."""
    from rich.table import Table

    from regseg.system.console import plain_console

    needed = next(iter(descriptions.values()))["needed_field_of_view"]
    sees = "; ".join(f"{row['pixels']} to see {row['sees']}" for row in needed)
    table = Table(caption=f"Field of view needed (Sec. 3.1), in pixels: {sees}")
    table.add_column("network", no_wrap=True)
    for column in ("field of view", *(f"needed: {row['pixels']}" for row in needed)):
        table.add_column(column, justify="right")
    for title, facts in descriptions.items():
        met = [{True: "met", False: "not met", None: "–"}[row["met"]] for row in facts["needed_field_of_view"]]
        table.add_row(title, "–" if facts["field_of_view"] is None else str(facts["field_of_view"]), *met)
    plain_console().print(table)


def print_blocks(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print the field of view after every block, and the largest rate without holes there (k/s in Sec. 3.1)."""
    from rich.table import Table

    from regseg.system.console import plain_console

    for facts in descriptions.values():
        if not facts["blocks"]:
            print("This network has branches without a single field of view.")
            continue
        table = Table()
        for column in ("block", "channels", "stride", "rates", "no holes up to", "field of view"):
            table.add_column(column, justify="left" if column == "block" else "right")
        for block in facts["blocks"]:
            rates = ", ".join(map(str, block["rates"]))
            numbers = (str(block[key]) for key in ("channels", "stride"))
            table.add_row(block["name"], *numbers, rates, f"{block['bound']:.1f}", str(block["field_of_view"]))
        plain_console().print(table)


def print_differences(descriptions: dict[str, dict[str, Any]]) -> None:
    """Print why a figure of the paper differs from ours."""
    seen = set()
    for title, facts in descriptions.items():
        for row in facts["paper"]:
            if row["why"] and row["why"] not in seen:
                seen.add(row["why"])
                figures = f"{row['where']} prints {row['paper']}, ours is {row['ours']:.5g}"
                print(f"{title}, {row['quantity']}: {figures}; {row['why']}.")


def draw(cfg: DictConfig, networks: dict[str, Any], size: tuple[int, int]) -> None:
    """Draw the field of view into ``picture`` and print its path."""
    from regseg.models.summary import draw_field_of_view

    if len(networks) > 1:
        raise InputError("picture shows a single network; remove all=true.")
    images = None if cfg.images is None else read_images(Path(cfg.images), size, cfg.count)
    check_number("count", cfg.count, lowest=1, integer=True)
    print("Drawing the field of view…", flush=True)
    print(f"Picture: {draw_field_of_view(networks, cfg.picture, images=images, size=size)}")


def read_images(folder: Path, size: tuple[int, int], count: int) -> list[Any]:
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
