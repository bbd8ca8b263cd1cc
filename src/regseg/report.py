"""A sweep's results beside the paper's and the author's: ``python -m regseg.report table=4``; see ``--help``."""

from __future__ import annotations

import base64
import html
import itertools
import statistics
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from regseg.cli import entry_point


@entry_point("report")
def main(cfg: DictConfig) -> None:
    """Write the report of one group of runs and print its table."""
    OmegaConf.resolve(cfg)
    group = f"table{cfg.table}" if str(cfg.table).isdigit() else str(cfg.table)
    out = Path(cfg.out) if cfg.out else Path("reports") / group
    text, pictures = write(group, Path(cfg.runs), out)
    print(text)
    print(f"report: {out / 'report.md'}, {out / 'report.html'}; pictures: {', '.join(path.name for path in pictures)}")


def write(group: str, runs_folder: Path, out: Path) -> tuple[str, list[Path]]:
    """Write ``report.md``, ``report.html`` and the pictures into ``out``; give the Markdown and the pictures."""
    from regseg.analysis import figures, tables
    from regseg.analysis.published import paper

    if group == "table9":
        own = own_regseg(runs_folder)
        text = f"# table9: {paper()[group]['title']}\n\nFigs. 1 and 7 of the paper, test figures as it prints them.\n"
        mark = (
            f"The star is your RegSeg on the validation set: {own:.2f} % mIoU (table10, else sec4_2).\n" if own else ""
        )
        return _write(out, text + mark, figures.draw_trade_offs(out, own))
    runs = tables.read_runs(runs_folder, group)
    rows = tables.compare(group, runs)
    title = paper().get(group, {}).get("title")
    text = f"# {group}{': ' + title if title else ''}\n\n{tables.markdown(group, rows)}"
    if each := tables.runs_markdown(group, runs):
        text += f"\nEvery run at its last epoch:\n\n{each}"
    if not runs:
        command = f"python -m regseg.train -m experiment={group}"
        text += f"\nNo runs in {runs_folder / group} yet; launch them by `{command}`.\n"
    if sentences := tables.at_same_epochs(group, runs):
        text += "\n" + "".join(f"- {sentence}\n" for sentence in sentences)
    drawings = {
        "rows": lambda path: figures.draw_rows(group, rows, path),
        "curves": lambda path: figures.draw_curves(group, runs, path),
        "classes": lambda path: figures.draw_classes(group, runs, path),
        "val_sizes": lambda path: figures.draw_val_sizes(runs_folder / group, path),
    }
    pictures = [path for name, draw in drawings.items() if draw(path := out / f"{name}.png")]
    if group == "table10":
        pictures += figures.draw_trade_offs(out, own_regseg(runs_folder))
    return _write(out, text, pictures)


def own_regseg(runs_folder: Path) -> float | None:
    """The mean last mIoU in percent of the finished runs of RegSeg in Table 10, else of the recipe of Sec. 4.2."""
    from regseg.analysis import tables

    for group, row in (("table10", "regseg"), ("sec4_2", "run")):
        runs = [run for run in tables.read_runs(runs_folder, group) if run.row == row and run.status == "finished"]
        if values := tables.known(run.curve.value("last/miou") for run in runs):
            return statistics.mean(values)
    return None


def _write(out: Path, text: str, pictures: list[Path]) -> tuple[str, list[Path]]:
    out.mkdir(parents=True, exist_ok=True)
    linked = "".join(f"\n![{path.stem}]({path.name})\n" for path in pictures)
    (out / "report.md").write_text(text + linked, encoding="utf-8")
    (out / "report.html").write_text(_html(text, pictures), encoding="utf-8")
    return text, pictures


def _html(text: str, pictures: list[Path]) -> str:
    """One file that needs no other: the Markdown's few forms, and the pictures within."""
    body = []
    for form, group in itertools.groupby(text.splitlines(), _form):
        lines = [html.escape(line) for line in group]
        if form == "table":
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            rows = [_tag("tr", *(_tag("td", cell) for cell in row)) for row in cells[2:]]
            body.append(_tag("table", _tag("tr", *(_tag("th", cell) for cell in cells[0])), *rows))
        elif form == "list":
            body.append(_tag("ul", *(_tag("li", line.removeprefix("- ")) for line in lines)))
        elif form:
            body += [_tag(form, line.removeprefix("# ")) for line in lines]
    for path in pictures:
        data = base64.b64encode(path.read_bytes()).decode()
        body.append(f'<img alt="{path.stem}" src="data:image/png;base64,{data}">')
    style = (
        "body{font:15px sans-serif;max-width:1000px;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
        "td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}img{max-width:100%;margin:1em 0}"
    )
    return f'<!doctype html><meta charset="utf-8"><title>regseg</title><style>{style}</style>' + "\n".join(body) + "\n"


def _form(line: str) -> str:
    return {"|": "table", "-": "list", "#": "h1", "": ""}.get(line[:1], "p")


def _tag(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>"


if __name__ == "__main__":
    main()
