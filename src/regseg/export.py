"""Export a checkpoint: ``python -m regseg.export weights=FILE format=onnx``; ``--help`` lists the options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.errors import InputError, check_boolean, check_number, check_size


@entry_point("export")
def main(cfg: DictConfig) -> None:
    """Export a checkpoint, check the file and write it; print where it is."""
    OmegaConf.resolve(cfg)
    check_number("calibration_images", cfg.calibration_images, lowest=1, integer=True)
    size = checked_size(cfg.size)
    from regseg.inference.export import SUFFIXES, check_choices, export
    from regseg.system.folders import expanded
    from regseg.system.weights_files import GRAPHS, SHIPPED, resolve_weights

    weights = resolve_weights(cfg.weights)
    if weights.suffix in GRAPHS:
        raise InputError(f"{weights} is already an export; use the checkpoint it was made from.")
    suffix = SUFFIXES.get(cfg.format, "")
    shipped = weights.parent == SHIPPED  # a folder of the installed package
    default = Path(weights.name) if shipped else weights
    out = expanded(cfg.out) if cfg.out else default.with_suffix(suffix)
    if out.absolute() == weights.absolute():
        raise InputError(f"out={out} is the file of the weights; choose another out.")
    check_choices(out, cfg.format, cfg.output, size, cfg.precision)
    check_target(out, cfg.overwrite)
    options = {"output": cfg.output, "size": size, "precision": cfg.precision, "root": cfg.data.root}
    export(weights, out, cfg.format, calibration_images=cfg.calibration_images, **options)
    print(f"Exported to {out} ({sum(path.stat().st_size for path in files_of(out)) / 1e6:.1f} MB).")


def check_target(out: Path, overwrite: Any) -> None:
    """Check that writing ``out`` replaces an existing file only if ``overwrite`` allows it.

    Raises:
        InputError: an existing file would be replaced, or ``overwrite`` is not a boolean.
    """
    check_boolean("overwrite", overwrite)
    for path in files_of(out):
        if path.is_dir():
            raise InputError(f"out={path} is a folder; give a file.")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; choose another out, or overwrite=true to replace it.")


def checked_size(size: Any) -> tuple[int, int] | None:
    """Return ``size`` as (height, width), or None.

    Raises:
        InputError: it is neither.
    """
    if size is None:
        return None
    from regseg.data.decoding import LARGEST_SIDE

    check_size("size", size, highest=LARGEST_SIDE)
    return size[0], size[1]


def files_of(out: Path) -> list[Path]:
    """Return the exported file, or both files of an OpenVINO model."""
    return [out, out.with_suffix(".bin")] if out.suffix == ".xml" else [out]


if __name__ == "__main__":
    main()
