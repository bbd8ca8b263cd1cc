"""Compare a table's runs with the paper and the author's runs: ``python -m regseg.report table=4``; see ``--help``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import config_dir
from regseg.errors import InputError

if TYPE_CHECKING:
    from regseg.reporting.speeds import Speeds


@entry_point("report")
def main(cfg: DictConfig) -> None:
    """Write the report of one group of runs and print its table."""
    from regseg.reporting.speeds import read_speeds

    OmegaConf.resolve(cfg)
    group = f"table{cfg.table}" if str(cfg.table).isdigit() else str(cfg.table)
    out = Path(cfg.out) if cfg.out else Path("reports") / group
    text, pictures = write(group, Path(cfg.runs), out, read_speeds(cfg.benchmark))
    print(text)
    print(f"report: {out / 'report.md'}, {out / 'report.html'}; pictures: {', '.join(path.name for path in pictures)}")
    if (out / "table.csv").exists():
        print(f"table: {out / 'table.csv'}, {out / 'table.tex'}")


def write(group: str, runs_folder: Path, out: Path, speeds: Speeds | None = None) -> tuple[str, list[Path]]:
    """Write ``report.md``, ``report.html``, ``table.csv``, ``table.tex`` and the pictures into ``out``.

    Nothing in ``out`` changes until all files are complete; each is then replaced as a whole.

    Args:
        group: The name of a table, or of any folder of runs.
        runs_folder: The folder of all groups of runs.
        out: The report's folder.
        speeds: Speeds on this machine.

    Returns:
        The Markdown and the paths of the pictures.

    Raises:
        InputError: There are no runs to report on, or ``out`` is not a folder.
    """
    from regseg.reporting.html import html_page
    from regseg.reporting.pages import page_of

    content = page_of(group, runs_folder, speeds)
    if content is None:
        raise no_runs(group, runs_folder)
    text, drawings, tables = content
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"out={out} is not a folder; choose another one.") from error
    with tempfile.TemporaryDirectory(prefix=".report_", dir=out) as folder:
        staged = [path for name, draw in drawings.items() if draw(path := Path(folder) / f"{name}.png")]
        linked = text + "".join(f"\n![{path.stem}]({path.name})\n" for path in staged)
        markdown, page = Path(folder) / "report.md", Path(folder) / "report.html"
        markdown.write_text(linked, encoding="utf-8")
        page.write_text(html_page(linked, staged, f"regseg: {group}"), encoding="utf-8")
        files = [*staged, markdown, page]
        for name, table in tables.items():
            files.append(Path(folder) / name)
            files[-1].write_text(table, encoding="utf-8")
        for path in files:
            os.replace(path, out / path.name)
    return text, [out / path.name for path in staged]


def no_runs(group: str, runs_folder: Path) -> InputError:
    """Return the error for a group without runs: it names the command that starts them, or the existing groups."""
    from regseg.reporting.pages import sizes_command
    from regseg.reporting.published import paper
    from regseg.reporting.run_records import run_folders

    is_folder = runs_folder.is_dir()
    missing = f"{runs_folder} contains no runs of {group}" if is_folder else f"{runs_folder} is not a folder"
    command = launch_command(group)
    if command is None:
        groups = sorted(path.name for path in runs_folder.iterdir() if run_folders(path)) if is_folder else []
        choices = ", ".join(dict.fromkeys([*paper(), *groups]))
        return InputError(f"table={group} has no runs and is not a table of the paper; choose one of {choices}.")
    if "runs_of" in paper().get(group, {}):
        missing += " with a val_sizes.json" if is_folder else ""
        run = runs_folder / paper()[group]["runs_of"] / "NAME"
        command += f"` and evaluate each with `{sizes_command(run)}"
    return InputError(f"{missing}; start the runs of {group} with `{command}`, or set runs=FOLDER to where they are.")


def launch_command(group: str) -> str | None:
    """Return the command that trains the runs of an experiment; None if there is no such experiment."""
    path = config_dir() / "experiment" / f"{group}.yaml"
    if not path.is_file() or group.startswith("_"):
        return None
    multirun = "-m " if yaml.safe_load(path.read_text(encoding="utf-8")).get("table") else ""
    return f"python -m regseg.train {multirun}experiment={group}"


if __name__ == "__main__":
    main()
