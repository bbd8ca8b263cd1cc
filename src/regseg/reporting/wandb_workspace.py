"""The W&B workspace that compares the runs of a group."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from regseg.errors import InputError

MEANS = {"miou": "mIoU", "miou_reduced": "reduced mIoU"}


def build_workspace(group: str, project: str, entity: str, classes: list[str]) -> Any:
    """A `wandb_workspaces.workspaces.Workspace` over the runs of ``group``; nothing is sent.

    Bars of best and last mIoU and reduced mIoU and curves over epochs, grouped by row with the standard deviation over
    seeds; the IoU of every class; parallel coordinates from the row to the means.

    Raises:
        InputError: wandb-workspaces is missing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pydantic, about the library's own style
            import wandb_workspaces.reports.v2 as wr
            import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise InputError("the dashboard needs wandb-workspaces: pip install 'regseg[dashboard]'") from error
    by_row = {"groupby": "run.name", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}

    def bars(metric: str, title: str) -> Any:
        return wr.BarPlot(title=title, metrics=[metric], **by_row)

    def curve(metric: str, title: str) -> Any:
        return wr.LinePlot(title=title, x="epoch", y=[metric], **by_row)

    means = [
        bars(f"{which}/{name}", f"{which} {title}, by row")
        for which in ("best", "last")
        for name, title in MEANS.items()
    ]
    curves = [curve(f"val/{name}", title) for name, title in MEANS.items()]
    axes = [wr.Config("run.name"), wr.Config("seed"), *(wr.SummaryMetric(f"best/{name}") for name in MEANS)]
    axes += [wr.SummaryMetric(f"last/{name}") for name in MEANS]
    sections = [
        ws.Section(name="mIoU and reduced mIoU", panels=means, is_open=True),
        ws.Section(name="learning curves", panels=[*curves, curve("train/loss", "training loss")], is_open=True),
        ws.Section(name="classes", panels=[bars(f"val/iou/{name}", name) for name in classes]),
        ws.Section(
            name="settings against results",
            panels=[wr.ParallelCoordinatesPlot(columns=[wr.ParallelCoordinatesPlotColumn(metric=a) for a in axes])],
            is_open=True,
        ),
        ws.Section(name="predictions", panels=[wr.MediaBrowser(media_keys=["val/predictions", "val/iou_of_classes"])]),
    ]
    runs = ws.RunsetSettings(filters=[ws.Metric("Group") == group], groupby=[ws.Config("run.name")])
    return ws.Workspace(entity=entity, project=project, name=f"regseg {group}", sections=sections, runset_settings=runs)


def write_spec(workspace: Any, path: Path) -> None:
    """Write what would be uploaded as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec_of(workspace), indent=2) + "\n", encoding="utf-8")


def spec_of(workspace: Any) -> dict[str, Any]:
    """What would be uploaded, as plain values."""
    return json.loads(workspace._to_model().model_dump_json(by_alias=True))


def upload(workspace: Any) -> str:
    """Create the workspace at W&B; returns its address.

    Raises:
        InputError: nobody is logged in, or the project does not exist.
    """
    import wandb

    if not wandb.login(prompt=False):
        raise InputError(
            "nobody is logged in to Weights & Biases; run `wandb login`, or give out=FILE to write the spec."
        )
    try:
        return workspace.save().url
    except Exception as error:  # the library raises what its transport raises
        raise InputError(f"W&B did not take the workspace ({' '.join(str(error).split())})") from error
