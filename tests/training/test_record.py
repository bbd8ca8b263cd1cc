"""The summary of a run."""

import math
from types import SimpleNamespace

import pytest

from regseg.errors import InputError
from regseg.run_dir import best_reduced, lock_folder, read_summary, write_json, write_metrics
from regseg.system.locks import is_held
from regseg.training.record import RunRecord


def test_a_parent_that_did_not_train_keeps_what_its_processes_found(tmp_path):
    found = {"epoch": 3, "metrics": {"val/miou": 0.7}}
    record = RunRecord(tmp_path, {"seed": 0})
    write_json(tmp_path / "summary.json", {"status": "running", "best": found, "last": found})
    alone = SimpleNamespace(launcher=None)
    record.on_exception(SimpleNamespace(is_global_zero=True, strategy=alone), None, RuntimeError("killed"))
    summary = read_summary(tmp_path)
    assert summary["status"] == "failed" and summary["best"] == summary["last"] == found


def test_a_spawned_training_locks_its_folder(tmp_path):
    """As the training processes of a run on several devices in a sweep: the first of them takes the lock."""
    first, second = (
        SimpleNamespace(is_global_zero=is_first, world_size=1, strategy=SimpleNamespace(launcher=None))
        for is_first in (True, False)
    )
    with lock_folder(tmp_path), pytest.raises(InputError, match="another process"):
        RunRecord(tmp_path, {}, lock=True).setup(first, None, "fit")
    for end in ("teardown", "on_exception"):
        record = RunRecord(tmp_path, {}, lock=True)
        record.setup(second, None, "fit")
        assert not is_held(tmp_path / ".lock")
        record.setup(first, None, "fit")
        assert is_held(tmp_path / ".lock")
        getattr(record, end)(first, None, "fit" if end == "teardown" else KeyboardInterrupt())
        assert not is_held(tmp_path / ".lock")


def test_the_best_reduced_miou_is_the_highest_one(tmp_path):
    """As in Tables 4 to 7 and in reports; not that of the epoch with the highest mIoU."""
    pairs = [(0.5, 0.65), (0.6, 0.62), (math.nan, math.nan), (None, None), (0.55, 0.6)]
    record = RunRecord(tmp_path, {})
    record.rows = [{"epoch": n, "val/miou": a, "val/miou_reduced": b, "val/iou/x": a} for n, (a, b) in enumerate(pairs)]
    summary, tables = {}, []
    logger = SimpleNamespace(
        experiment=SimpleNamespace(summary=summary), log_table=lambda *given, step: tables.append(given)
    )
    record._show(SimpleNamespace(loggers=[logger], global_step=9), SimpleNamespace(classes=["x"]))
    assert summary == {"best/miou": 0.6, "last/miou": 0.55, "best/miou_reduced": 0.65, "last/miou_reduced": 0.6}
    assert tables == [("val/iou_of_classes", ["class", "IoU"], [["x", 0.55]])]
    write_json(tmp_path / "summary.json", {"data": {"excluded": ["bus"]}})
    write_metrics(tmp_path, record.rows)
    assert best_reduced(tmp_path) == summary["best/miou_reduced"]
