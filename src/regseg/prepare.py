"""Check, preview or store a dataset: ``python -m regseg.prepare what=check data=NAME``; see ``--help``."""

from __future__ import annotations

import importlib
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.errors import InputError

# what=… -> the function that is called with the DataModule (before setup) and the folder `out`.
WHAT = {
    "check": "regseg.dataset_tools.check.check",
    "show": "regseg.dataset_tools.preview.show",
    "report": "regseg.dataset_tools.class_statistics.report",
    "half": "regseg.dataset_tools.storing.half",
    "cache": "regseg.dataset_tools.storing.cache",
}


@entry_point("prepare")
def main(cfg: DictConfig) -> None:
    """Run the action ``what`` on the chosen dataset."""
    from hydra.utils import instantiate

    OmegaConf.resolve(cfg)
    if cfg.what not in WHAT:
        raise InputError(f"what={cfg.what} does not exist; choose one of {', '.join(WHAT)}.")
    module, _, function = WHAT[cfg.what].rpartition(".")
    getattr(importlib.import_module(module), function)(instantiate(cfg.data), Path(cfg.out))


if __name__ == "__main__":
    main()
