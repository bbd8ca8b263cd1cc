"""The W&B workspace, up to the upload."""

import json

import pytest
from commands import failed

from regseg.reporting.run_records import classes_of
from regseg.run_dir import write_json


def panels(spec):
    return [panel for section in spec["spec"]["section"]["panelBankConfig"]["sections"] for panel in section["panels"]]


def write_group(folder, *runs):
    for number, (classes, excluded) in enumerate(runs):
        run = folder / f"row_{number}_seed0"
        run.mkdir(parents=True)
        write_json(run / "summary.json", {"data": {"classes": classes, "excluded": excluded}})


def test_classes_are_those_of_the_groups_runs(run_module, tmp_path):
    write_group(tmp_path / "runs" / "mine", (["weed", "crop"], []), (["weed", "soil"], []))
    result = run_module("regseg.dashboard", "group=mine", "out=workspace.json")
    assert result.returncode == 0, result.stderr
    text = [json.dumps(panel) for panel in panels(json.loads((tmp_path / "workspace.json").read_text()))]
    assert [name for name in ("weed", "crop", "soil", "road") if any(f"val/iou/{name}" in each for each in text)] == [
        "weed", "crop", "soil",
    ]  # fmt: skip
    assert not any("reduced" in each for each in text)


@pytest.mark.parametrize("real", [True, False])
def test_smoke_tests_are_not_averaged_with_other_runs(run_module, tmp_path, real):
    """A group of smoke tests alone is shown, because an empty workspace would puzzle."""
    for number, smoke in enumerate([True, not real]):
        run = tmp_path / "runs" / "mine" / f"row_seed{number}"
        run.mkdir(parents=True)
        write_json(run / "summary.json", {"data": {"classes": ["a"]}, "config": {"trainer": {"smoke": smoke}}})
    result = run_module("regseg.dashboard", "group=mine", "out=workspace.json")
    assert result.returncode == 0, result.stderr
    (runs,) = json.loads((tmp_path / "workspace.json").read_text())["spec"]["section"]["runSets"]
    found = [(each["key"]["name"], each["op"], each["value"]) for each in runs["filters"]["filters"]]
    assert found == [("group", "=", "mine"), *([("jobType", "!=", "smoke")] if real else [])]


@pytest.mark.parametrize("option", ["group=null", "group=", "project=null", "project=[1]", "entity=true", "entity="])
def test_what_is_not_a_name_is_refused(run_module, tmp_path, option):
    write_group(tmp_path / "runs" / "mine", (["weed"], []))
    result = run_module("regseg.dashboard", "group=mine", "out=workspace.json", option)
    assert failed(result, f"{option} is not a name; set {option.partition('=')[0]}=NAME.")


def test_runs_of_earlier_versions_show_reduced_means_that_differ(tmp_path):
    for reduced in (0.5, 0.6):
        metrics = {"val/miou": 0.5, "val/miou_reduced": reduced}
        run = tmp_path / str(reduced) / "row_seed0"
        run.mkdir(parents=True)
        write_json(run / "summary.json", {"data": {"classes": ["a"]}, "last": {"epoch": 0, "metrics": metrics}})
        assert classes_of(tmp_path / str(reduced)) == (["a"], reduced > 0.5)


def test_reduced_means_are_shown_where_a_dataset_excludes_classes(run_module, tmp_path):
    write_group(tmp_path / "elsewhere" / "mine", (["weed", "crop"], ["crop"]))
    result = run_module("regseg.dashboard", "group=mine", "runs=elsewhere", "out=workspace.json")
    assert result.returncode == 0, result.stderr
    assert "reduced mIoU" in (tmp_path / "workspace.json").read_text()


def test_a_group_without_runs_is_one_sentence(run_module, tmp_path):
    result = run_module("regseg.dashboard", "group=table4", "out=workspace.json")
    assert failed(result, "runs has no runs of table4", "runs=FOLDER")
    assert not (tmp_path / "workspace.json").exists()


def test_what_an_upload_needs_is_reported(run_module, tmp_path):
    write_group(tmp_path / "runs" / "table4", (["road"], []))
    result = run_module("regseg.dashboard", "group=table4")
    assert result.returncode == 2 and "entity=NAME" in result.stderr
    result = run_module("regseg.dashboard", "group=table4", "entity=me", env={"WANDB_API_KEY": "", "HOME": "/nowhere"})
    assert result.returncode == 2 and "wandb login" in result.stderr
    assert "Traceback" not in result.stderr
