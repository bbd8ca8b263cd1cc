"""Build a W&B workspace for a group of runs: ``python -m regseg.dashboard group=table4 entity=NAME``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.errors import InputError, typed


@entry_point("dashboard")
def main(cfg: DictConfig) -> None:
    """Build the workspace, and upload it or write it to a file."""
    from regseg.reporting.run_records import classes_of, only_smoke_tests, run_folders
    from regseg.reporting.wandb_workspace import build_workspace, upload, write_spec

    OmegaConf.resolve(cfg)
    for name in ("group", "project", *(["entity"] if cfg.entity is not None else [])):
        if not isinstance(cfg[name], str | int | float) or isinstance(cfg[name], bool) or cfg[name] == "":
            raise InputError(f"{name}={typed(cfg[name])} is not a name; set {name}=NAME.")
    if not cfg.out and not cfg.entity:
        raise InputError("entity is missing; set entity=NAME to your W&B user or team, or out=FILE to write a file.")
    folder = Path(cfg.runs) / str(cfg.group)
    classes, reduced = classes_of(folder)
    if not classes:
        if run_folders(folder):
            raise InputError(f"No run in {folder} records its classes; train one until its first evaluation.")
        raise InputError(f"{cfg.runs} has no runs of {cfg.group}; train one, or set runs=FOLDER to where they are.")
    smoke = only_smoke_tests(folder)
    workspace = build_workspace(
        str(cfg.group), str(cfg.project), str(cfg.entity or "entity"), classes, reduced=reduced, smoke=smoke
    )
    if cfg.out:
        write_spec(workspace, Path(cfg.out))
        print(f"Workspace of {cfg.group}: {cfg.out}")
    else:
        print(f"Workspace of {cfg.group}: {upload(workspace)}")


if __name__ == "__main__":
    main()
