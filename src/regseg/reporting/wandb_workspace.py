"""Builds the W&B workspace that compares the runs of a group."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regseg.errors import InputError
from regseg.system.atomic import write_text


def build_workspace(
    group: str, project: str, entity: str, classes: list[str], *, reduced: bool, smoke: bool = False
) -> Any:
    """Build a workspace for the runs of ``group``; nothing is uploaded.

    It shows the best and last mean IoU as bars, and the mean IoU as curves over epochs, both grouped by row with the
    standard deviation over seeds. As in reports, best mIoU and best reduced mIoU may belong to different epochs.
    It also has the IoU of every class at the last evaluation, and parallel coordinates of row and mean IoU.

    Args:
        group: The W&B group of the runs.
        project: The W&B project.
        entity: The W&B user or team.
        classes: Class names, one panel each.
        reduced: Whether a dataset of the group excludes classes, so that the reduced mIoU differs from the mIoU.
        smoke: Whether to show smoke tests too, which would spoil the means of their rows.

    Returns:
        A `wandb_workspaces.workspaces.Workspace`.

    Raises:
        InputError: wandb-workspaces is missing.
    """
    wr, ws = _libraries()
    conditions = [ws.Metric("Group") == group, *([] if smoke else [ws.Metric("JobType") != "smoke"])]
    filters = ws.And(*conditions) if hasattr(ws, "And") else conditions  # newer versions deprecate lists
    names = {"miou": "mIoU"} | ({"miou_reduced": "reduced mIoU"} if reduced else {})
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"regseg {group}",
        sections=_sections(wr, ws, names, classes),
        runset_settings=ws.RunsetSettings(filters=filters, groupby=[ws.Config("run.name")]),
    )


def _libraries() -> tuple[Any, Any]:
    """Return the modules of wandb-workspaces for panels and for workspaces."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydantic warns about how the library is written
            import wandb_workspaces.reports.v2 as wr
            import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise InputError("The dashboard needs wandb-workspaces; run pip install 'regseg[dashboard]'.") from error
    return wr, ws


def _sections(wr: Any, ws: Any, names: Mapping[str, str], classes: Sequence[str]) -> list[Any]:
    """Return the sections of the workspace; ``names`` are the titles of the means by their keys."""
    by_row: dict[str, Any] = {"groupby": "run.name", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}

    def bars(metric: str, title: str) -> Any:
        return wr.BarPlot(title=title, metrics=[metric], **by_row)

    def curve(metric: str, title: str) -> Any:
        return wr.LinePlot(title=title, x="epoch", y=[metric], **by_row)

    means = [
        bars(f"{which}/{name}", f"{which} {title}, by row")
        for which in ("best", "last")
        for name, title in names.items()
    ]
    curves = [curve(f"val/{name}", title) for name, title in names.items()]
    axes: list[Any] = [wr.Config("run.name"), wr.Config("seed"), *(wr.SummaryMetric(f"best/{name}") for name in names)]
    axes += [wr.SummaryMetric(f"last/{name}") for name in names]
    return [
        ws.Section(name=" and ".join(names.values()), panels=means, is_open=True),
        ws.Section(name="learning curves", panels=[*curves, curve("train/loss", "training loss")], is_open=True),
        ws.Section(name="IoU per class, last evaluation", panels=[bars(f"val/iou/{name}", name) for name in classes]),
        ws.Section(
            name="settings against results",
            panels=[wr.ParallelCoordinatesPlot(columns=[wr.ParallelCoordinatesPlotColumn(metric=a) for a in axes])],
            is_open=True,
        ),
        ws.Section(name="predictions", panels=[wr.MediaBrowser(media_keys=["val/predictions", "val/iou_of_classes"])]),
    ]


def write_spec(workspace: Any, path: Path) -> None:
    """Write the workspace's JSON, as it would be uploaded, to ``path``."""
    write_text(path, json.dumps(spec_of(workspace), indent=2) + "\n")


def spec_of(workspace: Any) -> dict[str, Any]:
    """Return the workspace as plain values, as it would be uploaded."""
    return json.loads(workspace._to_model().model_dump_json(by_alias=True))


def upload(workspace: Any) -> str:
    """Create the workspace in W&B.

    Returns:
        Its URL.

    Raises:
        InputError: No W&B login is configured, or W&B refuses the workspace.
    """
    import wandb

    if not wandb.login(prompt=False):
        raise InputError(
            "No Weights & Biases login was found; run `wandb login`, or set out=FILE to write the workspace to a file."
        )
    try:
        return workspace.save().url
    except Exception as error:  # the library passes on the errors of its HTTP client
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"W&B refused the workspace ({reason}); check entity and project.") from error
