"""Compare a table's runs with the paper and the author's runs: ``python -m regseg.report table=4``; see ``--help``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point
from regseg.config import config_dir
from regseg.errors import InputError, typed
from regseg.system.atomic import replace_file
from regseg.system.temporary import temporary_folder

if TYPE_CHECKING:
    from regseg.reporting.pages import Drawings, Tables
    from regseg.reporting.speeds import Speeds


@entry_point("report")
def main(cfg: DictConfig) -> None:
    """Write the report of one group of runs and print its table."""
    from regseg.reporting.pages import files_of_pages
    from regseg.reporting.speeds import read_speeds
    from regseg.reporting.terminal import print_report

    OmegaConf.resolve(cfg)
    group = group_of(typed(cfg.table), Path(cfg.runs))
    out = Path(cfg.out) if cfg.out else Path("reports") / group
    text, pictures = write(group, Path(cfg.runs), out, read_speeds(cfg.benchmark))
    print_report(text)
    print(f"report: {out / 'report.md'}, {out / 'report.html'}; pictures: {', '.join(path.name for path in pictures)}")
    print(f"tables: {', '.join(sorted(path.name for path in out.glob('table*') if path.name in files_of_pages()))}")


def group_of(table: str, runs_folder: Path) -> str:
    """Return the group of runs that ``table`` names: 4 means ``table4``, unless there are runs of a group ``4``.

    Raises:
        InputError: There are runs of both groups.
    """
    from regseg.reporting.published import paper
    from regseg.reporting.run_records import run_folders

    of_paper = f"table{table}"
    if of_paper not in paper():
        return table
    if not run_folders(runs_folder / table):
        return of_paper
    if run_folders(runs_folder / of_paper):
        raise InputError(
            f"table={table} may mean {runs_folder / of_paper} or {runs_folder / table}; type table={of_paper} for the "
            f"former, or rename the folder {runs_folder / table}."
        )
    return table


def write(group: str, runs_folder: Path, out: Path, speeds: Speeds | None = None) -> tuple[str, list[Path]]:
    """Write ``report.md``, ``report.html``, the pictures, and every table as CSV and LaTeX into ``out``.

    Nothing in ``out`` changes until all files are complete; each is then replaced as a whole. Tables and pictures of an
    earlier report that this one does not have are removed.

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
    from regseg.reporting.pages import files_of_pages, page_of

    content = page_of(group, runs_folder, speeds)
    if content is None:
        raise no_runs(group, runs_folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"out={out} is not a folder; choose another one.") from error
    stale = files_of_pages() if (out / "report.md").exists() else set()
    with temporary_folder(out, "report") as folder:
        pictures = _write_files(folder, group, *content)
        for path in sorted(folder.iterdir(), key=lambda path: path not in pictures):  # linked pages come last
            replace_file(path, out / path.name)
            stale.discard(path.name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    return content[0], [out / path.name for path in pictures]


def _write_files(folder: Path, group: str, text: str, drawings: Drawings, tables: Tables) -> list[Path]:
    """Write the files of a report into ``folder``; return the pictures among them."""
    from regseg.reporting.html import html_page

    pictures = [path for name, draw in drawings.items() if draw(path := folder / f"{name}.png")]
    linked = text + "".join(f"\n![{path.stem}]({path.name})\n" for path in pictures)
    page = html_page(linked, pictures, f"regseg: {group}")
    for name, content in {"report.md": linked, "report.html": page, **tables}.items():
        (folder / name).write_text(content, encoding="utf-8")
    return pictures


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
    from regseg.reporting.published import needs_of

    path = config_dir() / "experiment" / f"{group}.yaml"
    if not path.is_file() or group.startswith("_"):
        return None
    multirun = "-m " if yaml.safe_load(path.read_text(encoding="utf-8")).get("table") else ""
    needs = "".join(f" {option}" for option in needs_of(group))
    return f"python -m regseg.train {multirun}experiment={group}{needs}"


if __name__ == "__main__":
    main()
