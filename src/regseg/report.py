"""A sweep's results beside the paper's and the author's: ``python -m regseg.report table=4``; see ``--help``."""

from __future__ import annotations

import base64
import html
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
        return _write(out, "# Table 9\n\nFigs. 1 and 7.\n", figures.draw_trade_offs(out, None))
    runs = tables.read_runs(runs_folder, group)
    rows = tables.compare(group, runs)
    title = paper().get(group, {}).get("title")
    text = f"# {group}{': ' + title if title else ''}\n\n{tables.markdown(group, rows)}"
    if not runs:
        command = f"python -m regseg.train -m experiment={group}"
        text += f"\nNo runs in {runs_folder / group} yet; launch them by `{command}`.\n"
    if sentences := tables.at_same_epochs(group, runs):
        text += "\n" + "".join(f"- {sentence}\n" for sentence in sentences)
    pictures = [out / "rows.png", out / "curves.png"]
    figures.draw_rows(group, rows, pictures[0])
    figures.draw_curves(group, runs, pictures[1])
    if figures.draw_classes(group, runs, out / "classes.png"):
        pictures.append(out / "classes.png")
    if figures.draw_val_sizes(Path(group), runs_folder, out / "val_sizes.png"):
        pictures.append(out / "val_sizes.png")
    if group == "table10":
        pictures += figures.draw_trade_offs(out, next(row.mean for row in rows if row.name == "regseg"))
    return _write(out, text, pictures)


def _write(out: Path, text: str, pictures: list[Path]) -> tuple[str, list[Path]]:
    out.mkdir(parents=True, exist_ok=True)
    linked = "".join(f"\n![{path.stem}]({path.name})\n" for path in pictures)
    (out / "report.md").write_text(text + linked, encoding="utf-8")
    (out / "report.html").write_text(_html(text, pictures), encoding="utf-8")
    return text, pictures


def _html(text: str, pictures: list[Path]) -> str:
    """One file that needs no other: the Markdown's few forms, and the pictures within."""
    body, table = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append([html.escape(cell.strip()) for cell in line.strip("|").split("|")])
            continue
        if table:
            head, _, *rows = table
            cells = "".join(f"<th>{cell}</th>" for cell in head)
            lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
            body.append(f"<table><tr>{cells}</tr>{lines}</table>")
            table = []
        if line.startswith("# "):
            body.append(f"<h1>{html.escape(line[2:])}</h1>")
        elif line:
            body.append(f"<p>{html.escape(line)}</p>")
    for path in pictures:
        data = base64.b64encode(path.read_bytes()).decode()
        body.append(f'<img alt="{path.stem}" src="data:image/png;base64,{data}">')
    style = (
        "body{font:15px sans-serif;max-width:1000px;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
        "td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}img{max-width:100%;margin:1em 0}"
    )
    return f'<!doctype html><meta charset="utf-8"><title>regseg</title><style>{style}</style>' + "\n".join(body) + "\n"


if __name__ == "__main__":
    main()
