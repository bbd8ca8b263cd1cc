"""The console of tables and progress bars."""

import io
from pathlib import Path

from regseg.system.console import duration, plain_console, progress, shown, size_on_disk


def test_names_are_printed_without_markup_or_emoji():
    written = io.StringIO()
    plain_console(file=written, width=80).print("road [paved] [/] :car: 12")
    assert written.getvalue() == "road [paved] [/] :car: 12\n"


def test_a_notebook_gets_text_instead_of_widgets(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert not plain_console().is_jupyter


def test_forced_colours_do_not_make_a_file_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not plain_console(file=io.StringIO()).is_terminal
    assert plain_console(file=io.StringIO(), force_terminal=True).is_terminal


def test_paths_are_shown_as_they_are_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "runs" / "a") == shown(Path("runs") / "a") == str(Path("runs") / "a")
    assert shown(tmp_path.parent / "other") == str(tmp_path.parent / "other") and shown("../x") == "../x"


def test_durations():
    assert [size_on_disk(number) for number in (2.41e9, 15.5e6, 1000)] == ["2.41 GB", "15.5 MB", "0.001 MB"]
    assert [duration(s) for s in (42, 190, 19200, -60)] == ["42 s", "3 min 10 s", "5 h 20 min", "0 s"]


def test_progress_is_one_line_without_a_terminal(capsys):
    assert list(progress(iter("ab"), 2, "reading")) == ["a", "b"]
    assert list(progress(iter("a"), 1, "reading")) == ["a"]
    assert capsys.readouterr().out.split("\n")[:1] == ["reading: 2 images"]
