"""How a training starts: new, in place of an earlier run, or as its continuation."""

from pathlib import Path

import pytest

from regseg.errors import InputError
from regseg.run_dir import prepare_folder, read_summary, write_json
from regseg.run_start import beginning, check_names, check_overwrite, check_weights, how_to_start, now

EARLY, LATE = "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00.001Z"
RUN = {"status": "finished", "last": {"epoch": 0}}


def start(folder, *, overwrite=False, resume=None, smoke=False, sweep=True, job=None):
    config = {"resume": resume, "overwrite": overwrite, "trainer": {"smoke": smoke}}
    return how_to_start(folder, config, sweep=sweep, requeued=job)


@pytest.mark.parametrize("name", ["", " ", None, "..", "../../x", "/etc/x", "a//b", "."])
def test_a_name_that_leads_elsewhere_is_refused(name):
    for option in ("group", "name"):
        with pytest.raises(InputError, match=rf"^run\.{option}=.* is not the name of a folder"):
            check_names({option: name})


def test_names_of_folders():
    check_names({"group": 4, "name": "lr_0.02-x (1).."})
    check_names({"group": "of/mine", "name": 0})


def test_a_run_does_not_replace_its_own_initial_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, linked = tmp_path / "runs" / "mine", tmp_path / "link"
    folder.mkdir(parents=True)
    linked.symlink_to(folder)
    for weights in ("runs/mine", "runs/mine/checkpoints/best.ckpt", str(linked), "runs/other/../mine"):
        with pytest.raises(InputError, match=r"which this run would replace; choose another folder with run\.name"):
            check_weights(folder, weights)
    others = (None, "camvid_360", "runs/mine2/checkpoints/best.ckpt", "runs", "runs/mine/pretrained.ckpt")
    for weights in others:
        check_weights(folder, weights)
    check_weights(Path(), "camvid_360")  # hydra.run.dir=.


RESUMED, REPLACED = ("last", False), (None, True)


def test_a_run_and_a_row_of_a_sweep(tmp_path):
    assert start(tmp_path, sweep=False) == (None, False) and start(tmp_path) == RESUMED
    assert start(tmp_path, overwrite=True) == start(tmp_path, overwrite=True, sweep=False) == REPLACED
    write_json(tmp_path / "summary.json", {"config": {"trainer": {"smoke": True}}})
    assert start(tmp_path)[1] and not start(tmp_path, smoke=True)[1]  # a smoke test


@pytest.mark.parametrize(("began", "expected"), [(EARLY, REPLACED), (LATE, RESUMED), (None, REPLACED)])
def test_a_run_of_before_is_replaced_and_one_of_this_sweep_is_resumed(tmp_path, began, expected):
    """When a sweep with ``overwrite=true`` is continued."""
    write_json(tmp_path / "summary.json", RUN | {"began": began})
    assert start(tmp_path, overwrite=LATE) == expected
    assert start(tmp_path, overwrite=EARLY) == (expected if began is None else RESUMED)
    assert start(tmp_path) == RESUMED


@pytest.mark.parametrize(("job", "started"), [("7_1", ("last", False)), ("7_2", (None, True)), (None, (None, True))])
@pytest.mark.parametrize("sweep", [True, False])
def test_a_job_that_is_queued_again_continues_its_own_run(tmp_path, sweep, job, started):
    """It still replaces runs that it had not begun to replace, and smoke tests."""
    prepare_folder(tmp_path, {}, keep=False, job="7_1")
    smoke = {"config": {"trainer": {"smoke": True}}}
    for overwrite, more in ((True, {}), (False, smoke)):
        write_json(tmp_path / "summary.json", read_summary(tmp_path) | more)
        resume, overwrite = start(tmp_path, overwrite=overwrite, sweep=sweep, job=job)
        assert (None if overwrite else resume, overwrite) == started
    prepare_folder(tmp_path, {}, keep=True, job="8")
    assert read_summary(tmp_path)["slurm_job"] == "8"


def test_when_a_run_began(tmp_path):
    """A clock that is behind that of the sweep's machine does not make its own runs older than the sweep."""
    before = now()
    assert before <= beginning(tmp_path, keep=True, earliest=None) <= now()
    assert beginning(tmp_path, keep=True, earliest="9999-01-31T12:00:00.000Z") == "9999-01-31T12:00:00.000Z"
    write_json(tmp_path / "summary.json", RUN | {"began": EARLY})
    assert beginning(tmp_path, keep=True, earliest=LATE) == EARLY
    assert beginning(tmp_path, keep=False, earliest=LATE) >= before
    write_json(tmp_path / "summary.json", RUN | {"began": EARLY, "replacing": True})
    assert beginning(tmp_path, keep=True, earliest=None) >= before
    write_json(tmp_path / "summary.json", RUN)  # of an earlier version
    assert beginning(tmp_path, keep=True, earliest=LATE) is None


def test_values_of_overwrite():
    for value in (True, False, now(), "2026-01-31", "2026-01-31T12:00"):
        check_overwrite(value)
    for value in ("maybe", 2026, None, "12:00", "2026-02-31"):
        with pytest.raises(InputError, match=r"use overwrite=true, or a time such as \S+Z to replace"):
            check_overwrite(value)
