"""The W&B workspace, up to the upload."""

import json

from regseg.reporting.wandb_workspace import build_workspace, spec_of


def panels(spec):
    return [panel for section in spec["spec"]["section"]["panelBankConfig"]["sections"] for panel in section["panels"]]


def test_bars_curves_classes_and_coordinates_over_one_group():
    spec = spec_of(build_workspace("table4", "regseg", "me", ["road", "car"]))
    assert (spec["entity"], spec["project"], spec["displayName"]) == ("me", "regseg", "regseg table4")
    found = panels(spec)
    kinds = [panel["viewType"] for panel in found]
    assert {"Bar Chart", "Run History Line Plot", "Parallel Coordinates Plot", "Media Browser"} == set(kinds)
    bars = [panel["config"] for panel in found if panel["viewType"] == "Bar Chart"]
    metrics = [metric for config in bars for metric in config["metrics"]]
    for metric in ("best/miou", "best/miou_reduced", "last/miou", "last/miou_reduced", "val/iou/road", "val/iou/car"):
        assert any(metric in text for text in metrics), metric
    assert all(config["groupArea"] == "stddev" and config["groupBy"] == "run.value.name" for config in bars)
    text = json.dumps(spec["spec"]["section"]["runSets"])
    assert '"table4"' in text and "run.value.name" in text and '"group"' in text


def test_the_spec_is_written_offline(run_module, tmp_path):
    result = run_module("regseg.dashboard", "group=camvid_table4", "classes=camvid", "out=workspace.json")
    assert result.returncode == 0, result.stderr
    found = panels(json.loads((tmp_path / "workspace.json").read_text()))
    assert sum("val/iou/" in json.dumps(panel) for panel in found) == 11


def test_what_an_upload_needs_is_told(run_module):
    result = run_module("regseg.dashboard", "group=table4")
    assert result.returncode == 2 and "entity=NAME" in result.stderr
    result = run_module("regseg.dashboard", "group=table4", "entity=me", env={"WANDB_API_KEY": "", "HOME": "/nowhere"})
    assert result.returncode == 2 and "wandb login" in result.stderr
    assert "Traceback" not in result.stderr
