"""The summary of a run."""

from types import SimpleNamespace

from regseg.run_dir import read_summary, write_json
from regseg.training.record import RunRecord


def test_a_parent_that_did_not_train_keeps_what_its_processes_found(tmp_path):
    found = {"epoch": 3, "metrics": {"val/miou": 0.7}}
    record = RunRecord(tmp_path, {"seed": 0})
    write_json(tmp_path / "summary.json", {"status": "running", "best": found, "last": found})
    alone = SimpleNamespace(launcher=None)
    record.on_exception(SimpleNamespace(is_global_zero=True, strategy=alone), None, RuntimeError("killed"))
    summary = read_summary(tmp_path)
    assert summary["status"] == "failed" and summary["best"] == summary["last"] == found
