"""The summary of a run."""

from types import SimpleNamespace

import pytest

from regseg.errors import InputError
from regseg.run_dir import lock_folder, read_summary, write_json
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
        SimpleNamespace(is_global_zero=is_first, strategy=SimpleNamespace(launcher=None)) for is_first in (True, False)
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
