"""A run's folder: what may start, continue or be replaced there, and records that survive what happens to files."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from unittest.mock import Mock

import pytest

from regseg.errors import InputError
from regseg.run_dir import (
    best_miou,
    check_finished,
    check_free,
    config_of,
    holds_results,
    is_done,
    lock_folder,
    prepare_folder,
    read_metrics,
    read_summary,
    status_of,
    write_json,
    write_metrics,
)

ROWS = [{"epoch": 0, "lr": 0.1, "val/miou": 0.5}, {"epoch": 1, "lr": 0.05, "val/miou": None}]


def run_folder(tmp_path, status="running", rows=ROWS):
    write_json(
        tmp_path / "summary.json", {"status": status, "config": {"seed": 3}, "last": {"epoch": 0} if rows else None}
    )
    if rows:
        write_metrics(tmp_path, rows)
    return tmp_path


def write_evaluations(folder):
    """Write what `regseg.evaluate` leaves in a run's folder."""
    (folder / "evaluation").mkdir()
    for name in ("evaluation/worst.png", "worst.png", "worst.csv", "confusion.png", "val_sizes.json", "val_sizes.png"):
        (folder / name).touch()


def test_a_column_that_later_rows_have(tmp_path):
    write_metrics(tmp_path, [ROWS[0], {**ROWS[1], "val/loss": 0.25}])
    assert [row["val/loss"] for row in read_metrics(tmp_path)] == ["", "0.25"]


def test_metrics_survive_a_cut_at_any_byte(tmp_path):
    write_metrics(tmp_path, ROWS)
    whole = (tmp_path / "metrics.csv").read_bytes()
    assert [row["epoch"] for row in read_metrics(tmp_path)] == ["0", "1"]
    for length in range(len(whole)):
        (tmp_path / "metrics.csv").write_bytes(whole[:length])
        assert len(read_metrics(tmp_path)) <= 2
    for garbage in (b"", b"\0" * 100, b"\xff\xfe\x00", b"epoch\n" + b"x,y\n" * 3, b'epoch,lr\n"0'):
        (tmp_path / "metrics.csv").write_bytes(garbage)
        assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "\ud7ff", "[" * 5000])
def test_a_damaged_summary_is_reported_and_can_be_replaced(tmp_path, content):
    run_folder(tmp_path)
    (tmp_path / "summary.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"summary\.json is damaged.*overwrite=true"):
        read_summary(tmp_path)
    assert status_of(tmp_path) == "unknown" and config_of(tmp_path) == {}
    check_free(tmp_path, resume="last", overwrite=False)
    check_free(tmp_path, resume=None, overwrite=True)
    with pytest.raises(InputError, match="overwrite=true"):
        check_free(tmp_path, resume=None, overwrite=False)


@pytest.mark.parametrize(
    "content",
    ["", "a: [", "5", "!!python/object/apply:os.system [touch RAN]", "a: !!timestamp now", "m: &a {x: *a}"],
)
def test_a_damaged_configuration_is_ignored(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    assert config_of(tmp_path) == {}


@pytest.mark.parametrize("status", ["running", "interrupted", "failed", "finished"])
def test_results_are_never_lost_without_a_word(tmp_path, status):
    folder = run_folder(tmp_path, status)
    with pytest.raises(InputError, match="overwrite=true"):
        check_free(folder, resume=None, overwrite=False)
    for resume, overwrite in (("last", False), (None, True)):
        check_free(folder, resume=resume, overwrite=overwrite)


def test_a_run_without_results_may_start_again(tmp_path):
    folder = run_folder(tmp_path, "failed", rows=[])
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").touch()  # of the first epoch, which was cut off
    assert not holds_results(folder)
    check_free(folder, resume=None, overwrite=False)


@pytest.mark.parametrize("summary", ["", "{}", '{"status": "running"}'])
def test_best_weights_without_other_records_are_results(tmp_path, summary):
    """With a damaged summary, nobody knows whether they are of the first epoch."""
    folder = run_folder(tmp_path, "interrupted", rows=[])
    (folder / "summary.json").write_text(summary)
    (folder / "metrics.csv").unlink(missing_ok=True)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").touch()
    assert holds_results(folder)
    with pytest.raises(InputError, match="overwrite=true"):
        check_free(folder, resume=None, overwrite=False)


def test_folders_of_something_else_are_left_alone(tmp_path):
    (tmp_path / "pictures").mkdir()
    for resume, overwrite in ((None, False), ("last", False), (None, True)):
        with pytest.raises(InputError, match=r"no summary\.json"):
            check_free(tmp_path, resume=resume, overwrite=overwrite)


def test_resuming_keeps_the_training(tmp_path):
    folder = run_folder(tmp_path)
    write_evaluations(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    prepare_folder(folder, {"seed": 3}, keep=True)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    del after["config.yaml"]
    assert before.items() - after.items() == {("val_sizes.json", b""), ("val_sizes.png", b"")}
    assert after.items() <= before.items() and (folder / "evaluation").exists()


def test_overwriting_can_be_repeated_wherever_it_was_cut_off(tmp_path, monkeypatch):
    """Each step of the removal fails in turn, as a kill would end it there."""
    removed = []
    rmtree = shutil.rmtree

    def counted(path, *rest, **more):
        if len(removed) == allowed:
            raise RuntimeError("power cut")
        removed.append(path)
        rmtree(path, *rest, **more)

    monkeypatch.setattr(shutil, "rmtree", counted)
    for allowed in range(3):
        folder = run_folder(tmp_path / str(allowed))
        for name in ("checkpoints", "pictures", "wandb"):
            (folder / name).mkdir()
            (folder / name / "file").touch()
        write_evaluations(folder)
        removed.clear()
        with pytest.raises(RuntimeError, match="power cut"):
            prepare_folder(folder, {"seed": 4}, keep=False)
        check_free(folder, resume=None, overwrite=True)
        allowed = 9
        prepare_folder(folder, {"seed": 4}, keep=False)
        assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "summary.json"]
        assert json.loads((folder / "summary.json").read_text())["status"] == "running"


def test_who_holds_the_lock_decides_between_running_and_interrupted(tmp_path):
    folder = run_folder(tmp_path)
    assert status_of(folder) == "interrupted"
    code = (
        "import sys; from pathlib import Path; from regseg.run_dir import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    assert status_of(folder) == "running"
    with pytest.raises(InputError, match="another process"), lock_folder(folder):
        pass
    process.kill()
    process.communicate()
    assert status_of(folder) == "interrupted"
    with lock_folder(folder):
        assert status_of(folder) == "running"


def test_a_lock_that_another_machine_left_is_named(tmp_path, monkeypatch):
    """On a file system without locks, whether its process has died cannot be known."""
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(errno.ENOLCK, "no locks here")))
    (tmp_path / ".lock.soft").write_text("123\nnode7\n")
    words = r"stop it, or delete .*\.lock\.soft if process 123 on node7 is gone\.$"
    with pytest.raises(InputError, match=words), lock_folder(tmp_path):
        pass


def test_a_killed_run_without_results_starts_again_under_its_own_lock(tmp_path):
    folder = run_folder(tmp_path, "running", rows=[])
    check_free(folder, resume=None, overwrite=False)
    with lock_folder(folder):
        check_free(folder, resume=None, overwrite=False, held=True)
        with pytest.raises(InputError, match="running"):
            check_free(folder, resume=None, overwrite=False)


def test_a_row_that_was_cut_off_is_dropped(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,val/miou\n0,0.81\n1,0.8")
    assert [row["epoch"] for row in read_metrics(tmp_path)] == ["0"]
    (tmp_path / "metrics.csv").write_text("epoch,lr\n0," + "9" * 200_000 + "\n")
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.csv").unlink()
    (tmp_path / "metrics.csv").mkdir()
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    ("last", "before", "now", "done"),
    [
        (None, {"max_epochs": 1}, {"max_epochs": 1}, False),  # nothing was evaluated
        (0, {"max_epochs": 1}, {"max_epochs": 1}, True),
        (0, {"max_epochs": 1}, {"max_epochs": 2}, False),  # extended
        (1, {"max_epochs": 9}, {"max_epochs": 9}, True),  # stopped early
        (1, {"max_epochs": 9, "max_steps": 20}, {"max_epochs": 9, "max_steps": 20}, True),
        (1, {"max_epochs": 9, "max_steps": 20}, {"max_epochs": 9}, False),
    ],
)
def test_what_ended_by_itself_is_done_under_the_same_limits(tmp_path, last, before, now, done):
    last = None if last is None else {"epoch": last}
    summary = {"status": "finished", "best": last, "last": last, "config": {"trainer": before}}
    write_json(tmp_path / "summary.json", summary)
    assert is_done(tmp_path, {"trainer": now}) == done


STOPPING = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/miou", "patience": 5}


@pytest.mark.parametrize("stopping", [STOPPING, STOPPING | {"patience": 9}, None])
@pytest.mark.parametrize("ended_by", ["early_stopping", "max_epochs"])
def test_a_run_that_a_callback_ended_is_done_only_with_that_callback(tmp_path, ended_by, stopping):
    config = {"trainer": {"max_epochs": 9}, "callbacks": {"early_stopping": STOPPING, "last": {"_target_": "x.Last"}}}
    summary = {"status": "finished", "last": {"epoch": 4}, "ended_by": ended_by, "config": config}
    write_json(tmp_path / "summary.json", summary)
    done = is_done(tmp_path, {"trainer": {"max_epochs": 9}, "callbacks": {"early_stopping": stopping, "last": None}})
    assert done == (ended_by == "max_epochs" or stopping == STOPPING)


TRAINER = {"max_epochs": 2, "precision": "32-true", "devices": 2}
FINISHED = {"seed": 3, "trainer": TRAINER, "weights": None, "data": {"root": "mine", "batch_size": 4}}
DATA = {"files": {"train": {"count": 2}}, "classes": ["a", "b"], "excluded": [], "labels": [[[0, 0], [1, 1]], [], []]}


@pytest.mark.parametrize(
    ("config", "data", "words"),
    [
        ({"weights": "other.ckpt"}, {}, r"weights=null, but the command has other\.ckpt"),
        ({"trainer": TRAINER | {"precision": "16-mixed"}}, {}, r"precision=32-true, but the command has 16-mixed"),
        ({"trainer": TRAINER | {"gradient_clip_val": 1}}, {}, r"gradient_clip_val=null, but the command has 1"),
        ({"trainer": TRAINER | {"limit_train_batches": 1}}, {}, r"limit_train_batches=1\.0, .* 1;"),
        ({"trainer": TRAINER | {"num_nodes": 2}}, {}, "batch_size x devices=8, but the command has 16"),
        ({"trainer": TRAINER | {"devices": 1}}, {}, "batch_size x devices=8, but the command has 4"),
        ({"data": {"root": "mine", "batch_size": 8}}, {}, "batch_size x devices=8, but the command has 16"),
        ({}, {"classes": ["b", "a"]}, "different class names"),
        ({}, {"labels": [[[1, 0], [0, 1]], [], []]}, "different label values of the classes"),
        ({}, {"files": {"train": {"count": 3}}}, "different images"),
    ],
)
def test_a_finished_run_is_skipped_only_for_the_same_training(tmp_path, config, data, words):
    write_json(tmp_path / "summary.json", {"status": "finished", "config": FINISHED, "data": DATA})
    check_finished(tmp_path, FINISHED, DATA)
    check_finished(tmp_path, FINISHED, None)
    same_product = {"trainer": TRAINER | {"devices": [3]}, "data": {"root": "mine", "batch_size": 8}}
    check_finished(tmp_path, FINISHED | same_product, DATA)
    with pytest.raises(InputError, match=words):
        check_finished(tmp_path, FINISHED | config, DATA | data)


@pytest.mark.parametrize(("last", "planned"), [({"epoch": "x"}, None), ({"epoch": 1}, "x"), ({"epoch": 1}, [2])])
def test_an_edited_summary_is_not_finished(tmp_path, last, planned):
    config = {"trainer": {"max_epochs": planned}}
    write_json(tmp_path / "summary.json", {"status": "finished", "last": last, "config": config})
    assert not is_done(tmp_path, {"trainer": {"max_epochs": 2}})
    for miou in ("x", 10**400, 5.0):
        write_json(tmp_path / "summary.json", {"best": {"metrics": {"val/miou": miou}}})
        assert best_miou(tmp_path) is None


def test_records_that_are_named_pipes_are_not_read(tmp_path):
    for name in ("config.yaml", "metrics.csv", "summary.json"):
        os.mkfifo(tmp_path / name)
    assert (config_of(tmp_path), read_metrics(tmp_path), status_of(tmp_path)) == ({}, [], "unknown")
