"""The W&B workspace of a group of runs."""

import json

from regseg.reporting.wandb_workspace import build_workspace, spec_of, write_spec


def panels(spec):
    return [panel for section in spec["spec"]["section"]["panelBankConfig"]["sections"] for panel in section["panels"]]


def test_bars_curves_classes_and_coordinates_over_one_group():
    spec = spec_of(build_workspace("table4", "regseg", "me", ["road", "car"], reduced=True))
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


def test_the_written_workspace_is_its_specification(tmp_path):
    workspace = build_workspace("mine", "regseg", "me", ["road"], reduced=False)
    write_spec(workspace, tmp_path / "workspace.json")
    spec = json.loads((tmp_path / "workspace.json").read_text())
    assert spec == spec_of(workspace) and "reduced" not in json.dumps(panels(spec))
