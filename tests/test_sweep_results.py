"""What a sweep prints at its end."""

from regseg.multirun import note_failure, note_run, sweep_folder
from regseg.run_dir import write_json, write_metrics
from regseg.sweep_results import print_runs


def test_the_report_of_a_table_on_a_custom_dataset_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with sweep_folder("python -m regseg.train -m"):
        for number, group in enumerate(("table4", "table4_mine", "2024", "table2024")):
            folder = tmp_path / "runs" / group / "row_seed0"
            folder.mkdir(parents=True)
            write_json(folder / "summary.json", {"status": "finished"})
            assert note_run(number, "", folder, group)
        print_runs()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("report:")]
    assert [line.rpartition(" ")[2] for line in lines] == [
        "table=4",
        "table=table4_mine",
        "table=2024",
        "table=table2024",
    ]


def test_the_table_of_a_sweep_shows_its_own_runs(tmp_path, monkeypatch, capsys):
    """A refused job has no score, and runs of several groups are told apart; Tables 4 to 7 print the reduced mIoU."""
    monkeypatch.chdir(tmp_path)
    best = {"epoch": 1, "metrics": {"val/miou": 0.5, "val/miou_reduced": 0.55}}
    finished = {"status": "finished", "best": best, "last": best, "data": {"excluded": ["bus"]}}
    with sweep_folder("python -m regseg.train -m"):
        for number, (name, summary) in enumerate(
            {"a/run": finished, "b/run": finished, "b/cut": finished | {"status": "failed"}, "b/none": None}.items()
        ):
            folder = tmp_path / "runs" / name
            folder.mkdir(parents=True)
            if summary:
                write_json(folder / "summary.json", summary)
                rows = ({"epoch": 0, "val/miou_reduced": 0.56}, {"epoch": 1, "val/miou_reduced": 0.55})
                write_metrics(folder, [*rows, {"epoch": 2, "val/miou_reduced": None}])
            assert note_run(number, "", folder, name)
        for number in (1, 2, 3):
            note_failure(number, "seed=0", "was run with another loss.")
        print_runs()
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line] == [
        ["a/run", "finished", "50.00", "50.00", "56.00"],
        ["b/run", "not started", "–", "–", "–"],
        ["b/cut", "failed", "50.00", "50.00", "56.00"],
        ["b/none", "not started", "–", "–", "–"],
    ]


def test_names_are_legible_in_80_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    name = "resize_400_1600_crop_768_s0"
    with sweep_folder("python -m regseg.train -m"):
        folder = tmp_path / "runs" / "a" / name
        folder.mkdir(parents=True)
        write_json(folder / "summary.json", {"status": "interrupted", "data": {"excluded": ["bus"]}})
        write_metrics(folder, [{"epoch": 0, "val/miou_reduced": 0.56}])
        assert note_run(0, "", folder, name)
        print_runs()
    out = capsys.readouterr().out
    assert f"│ {name} " in out and "interrupted" in out and "56.00" in out
    assert max(map(len, out.splitlines())) <= 80
