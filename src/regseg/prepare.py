"""Check, preview or store a dataset: ``python -m regseg.prepare what=check data=NAME``; see ``--help``."""

from __future__ import annotations

import importlib
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.errors import InputError, check_choice, typed
from regseg.system.folders import check_no_file

# what=… -> the function that is called with the DataModule (before setup) and the folder `out`, or `source`.
WHAT = {
    "classes": "regseg.dataset_tools.classes.classes",
    "import": "regseg.dataset_tools.coco.import_coco",
    "check": "regseg.dataset_tools.check.check",
    "show": "regseg.dataset_tools.preview.show",
    "report": "regseg.dataset_tools.class_statistics.report",
    "half": "regseg.dataset_tools.storing.half",
    "cache": "regseg.dataset_tools.storing.cache",
}


@entry_point("prepare")
def main(cfg: DictConfig) -> None:
    """Run the action ``what`` on the chosen dataset."""
    OmegaConf.resolve(cfg)
    check_choice("what", cfg.what, WHAT)
    if (cfg.what == "import") != (cfg.source is not None):
        raise InputError("what=import needs source=FILE (the annotations); remove source for any other value of what.")
    if cfg.what in ("classes", "import") and cfg.data.dataset != "folder":
        raise InputError(f"what={typed(cfg.what)} is for custom datasets; use data=folder data.root=FOLDER.")
    place = Path(cfg.out if cfg.source is None else cfg.source)
    if cfg.source is None:
        check_no_file("out", place)
    module, _, function = WHAT[cfg.what].rpartition(".")
    getattr(importlib.import_module(module), function)(instantiate(cfg.data), place)


if __name__ == "__main__":
    main()
