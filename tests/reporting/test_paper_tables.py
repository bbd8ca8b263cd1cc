"""Tables with all columns that the paper prints, and the differences that its text states."""

import pytest
from run_folders import write_run

from regseg.report import write
from regseg.reporting import published
from regseg.reporting.markdown import table
from regseg.reporting.paper_tables import columns_grid, columns_notes, differences_grid
from regseg.reporting.published import paper
from regseg.reporting.tables import compare, read_runs
from regseg.run_dir import write_json, write_metrics


def test_ours_is_marked_in_table_9(tmp_path):
    write_run(tmp_path / "runs", "table10", "regseg", 1)
    write_run(tmp_path / "runs", "table10", "regseg", 2, status="running")
    text, _ = write("table9", tmp_path / "runs", tmp_path / "out")
    last = read_runs(tmp_path / "runs", "table10")[0].curve.miou[-1]
    assert f"The star in the pictures is RegSeg, your runs (val mIoU, %): {last:.2f}." in text
    assert f"| **RegSeg, your runs** | none | {last:.2f} | – | – | 1024x2048 | 3.33 | 39.1 |" in text


def test_table_9_needs_no_runs(tmp_path):
    text, pictures = write("table9", tmp_path / "nowhere", tmp_path / "out")
    assert [path.name for path in pictures] == ["fig1.png", "fig7.png"]
    for line in (  # the first, the last, and one with gaps, as the paper prints them
        "| CAS | IM | 71.6 | 70.5 | 108 | 768x1536 | – | – |",
        "| MSFNet | IM | – | 77.1 | 41 | 1024x2048 | – | 96.8 |",
        "| RegSeg | none | 78.13 ± 0.48 | 78.3 | 30 | 1024x2048 | 3.34 | 39.1 |",
        "| **RegSeg, your runs** | none | – | – | – | 1024x2048 | 3.33 | 39.1 |",
        "| RegSeg over FC-HardNet-70 | 1.5 (Sec. 4.9) | +2.30 | – | – |",
    ):
        assert line in text


def test_table_8_has_the_papers_columns(tmp_path):
    for seed in range(1, 6):
        write_run(tmp_path, "table8", "regseg", seed, 0.1, like=seed - 1)
    rows = compare("table8", read_runs(tmp_path, "table8"))
    text = table(columns_grid("table8", tmp_path))
    assert "| STDC2-Seg | IM | 73.9 | 152.2 |" in text and "| VideoGCRF | C | 75.2 | – |" in text
    assert "| DDRNet-23 | C | 80.1 ± 0.4 | 94 |" in text and "| **RegSeg, your runs** | C | 81.00 ± 0.07 | – |" in text
    assert "| regseg over DDRNet-23 | 0.8 (Sec. 4.8) | +0.80 | +0.80 | +0.90 |" in table(
        differences_grid("table8", rows)[0]
    )


def test_table_10_has_the_papers_columns_and_computed_ones(tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path, "table10", "regseg", seed, like=seed - 1)
    rows = compare("table10", read_runs(tmp_path, "table10"))
    text = table(columns_grid("table10", tmp_path))
    assert (
        "| ddrnet23 | 30 | 77.59 ± 0.09 | 20.1 | 143.1 |\n| **ddrnet23, your runs** | – | – | 20.15 | 143.7 |" in text
    )
    assert "| regseg | 30 | 78.13 ± 0.48 | 3.34 | 39.1 |" in text
    assert "| **regseg, your runs** | – | 78.13 ± 0.48 | 3.33 | 39.1 |" in text
    assert "3.335 rounded once more" in columns_notes("table10")
    assert "| regseg over ddrnet23 | 0.5 (Sec. 4.9) | +0.54 | +0.54 | – |" in table(
        differences_grid("table10", rows)[0]
    )


def test_differences_of_the_text(tmp_path):
    """What the paper's text claims follows from its tables and the author's runs; ours from finished runs alone."""
    write_run(tmp_path, "table5", "concat_conv3x3", 0, 1.0)
    write_run(tmp_path, "table5", "sum_conv1x1", 0)
    write_run(tmp_path, "table5", "sum_conv3x3", 0, status="running")
    grid, notes = differences_grid("table5", compare("table5", read_runs(tmp_path, "table5")))
    text = table(grid)
    assert "| regseg over lraspp | 1.0 (Sec. 1) | +0.99 | +0.99 | – |" in text
    assert "(sum\\_conv1x1)" not in text and "1x1 conv (sum_conv1x1) | 0.7 (Sec. 4.5) | +0.69 | +0.69 | +1.69 |" in text
    assert "| the same with sums on both sides | – | +0.82 | +0.82 | – |" in text and "used a sum" in notes
    for group in ("table4", "table5", "table8", "table9", "table10"):
        for entry, row in zip(paper()[group]["differences"], differences_grid(group, [])[0].rows, strict=True):
            if entry.get("text", "")[:1].isdigit() and entry["over"] != "FC-HardNet-70":  # where the paper differs
                assert abs(float(row[2]) - float(entry["text"])) < 0.0501, row


INVENTED = """
table1:
  title: A table of another paper
  data: {dataset: camvid}
  epochs: 2
  metric: best/miou
  rows: {small: 60.0, large: 70.00}
  deviations: {large: 0.5}
  best_of_runs: [small]
  columns: {extra: extra data, miou: "mIoU, %", fps: FPS}
  note: Its note.
  models:
    small: {fps: 100}
    large: {fps: 10}
    Rival: {extra: IM, miou: 65.0, miou_deviation: 0.3, fps: 50}
  ours:
    - {below: large, extra: none, runs: {miou: [table1/large]}}
  differences:
    - {of: large, over: small, text: 10, where: Sec. 5}
    - {of: large, over: Rival, text: much better}
  trade_offs:
    speed: {figure: fps, label: FPS}
"""


def write_small_run(folder, row, seed, *mious, dataset="camvid"):
    path = folder / "table1" / f"{row}_seed{seed}"
    path.mkdir(parents=True)
    config = {"seed": seed, "run": {"name": row}, "data": {"dataset": dataset}, "trainer": {"max_epochs": len(mious)}}
    write_json(path / "summary.json", {"status": "finished", "config": config})
    classes = {"val/iou/road": 0.5, "val/iou/sky": 0.7}
    write_metrics(path, [{"epoch": n, "val/miou": m, "val/miou_reduced": m, **classes} for n, m in enumerate(mious)])


@pytest.fixture
def invented(tmp_path, monkeypatch):
    """A folder of published values with one table of another paper and no runs of an author."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "other_paper.yaml").write_text(INVENTED)
    (folder / "author_runs.json").write_text("[]")
    monkeypatch.setattr(published, "folder", lambda: folder)
    for cache in (published.paper, published._records):
        cache.cache_clear()
    yield tmp_path / "runs"
    for cache in (published.paper, published._records):
        cache.cache_clear()


def test_a_table_of_another_paper_is_a_yaml_file(invented, tmp_path):
    for seed, miou in enumerate((0.61, 0.63)):
        write_small_run(invented, "small", seed, 0.3, miou)
        write_small_run(invented, "large", seed, miou + 0.1, 0.5)
    text, pictures = write("table1", invented, tmp_path / "out")
    for line in (
        "# table1: A table of another paper",
        "| small | 63.00 (best of 61.00, 63.00) | 2 | 60.0 (best run) | – |  |",
        "| large | 72.00 ± 1.00 | 2 | 70.00 ± 0.5 | – |  |",
        "| method | extra data | mIoU, % | FPS |",
        "| large | – | 70.00 ± 0.5 | 10 |\n| **large, your runs** | none | 72.00 ± 1.00 | – |",
        "| Rival | IM | 65.0 ± 0.3 | 50 |\n\nIts note.\n",
        "| large over small | 10 (Sec. 5) | +10.00 | – | +9.00 |",
        "| large over Rival | much better | +5.00 | – | +7.00 |",
    ):
        assert line in text, text
    assert [path.name for path in pictures] == ["rows.png", "curves.png", "classes.png", "speed.png"]


def test_its_runs_on_another_dataset_are_not_comparable(invented, tmp_path):
    write_small_run(invented, "large", 0, 0.6, 0.7, dataset="cityscapes")
    write_small_run(invented, "small", 0, 0.6)
    text, _ = write("table1", invented, tmp_path / "out")
    assert "not comparable: on cityscapes" in text and "| **large, your runs** | none | – | – |" in text
    assert "not comparable: 1 epoch instead of 2" in text
