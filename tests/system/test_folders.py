"""Folders that Hydra creates are removed if they stay empty; those of a user stay."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from regseg.errors import InputError
from regseg.system import folders
from regseg.system.folders import check_no_file


def test_only_new_empty_folders_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_existing", set())
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    folders.note_existing([tmp_path / "runs"])
    for group, left in (("mine", ["mine"]), ("new", ["mine"])):
        (tmp_path / "runs" / group / "run_seed0").mkdir(parents=True)
        folders.remove_empty(tmp_path / "runs" / group / "run_seed0")
        assert [path.name for path in (tmp_path / "runs").iterdir()] == left
    (tmp_path / "runs" / "mine" / "file").touch()
    folders.remove_empty(tmp_path / "runs" / "mine")
    assert (tmp_path / "runs" / "mine" / "file").exists()


def test_the_home_of_an_unknown_user_stays_as_it_is_typed(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert folders.expanded("~/runs") == Path("/home/me/runs")
    assert folders.expanded("~no_such_user/runs") == Path("~no_such_user/runs")


@pytest.mark.parametrize(("name", "refused"), [("file", True), ("file/new", True), ("new/one", False), (".", False)])
def test_a_folder_for_results_that_is_a_file_is_refused(tmp_path, monkeypatch, name, refused):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(InputError, match=rf"out={name} is not a folder") if refused else nullcontext():
        check_no_file("out", Path(name))
