"""Run folders that follow the author's learning curves, for tests of the report."""

from regseg.data.datasets.cityscapes import SPEC
from regseg.reporting.published import author_runs
from regseg.run_dir import write_json, write_metrics


def write_run(folder, group, row, seed, offset=0.0, status="finished", until=None, like=0, data=(), trainer=()):
    """A run that follows one of the author's curves, ``offset`` points away, up to an epoch; with other options."""
    curve = author_runs(group, row)[like]
    of = curve.epochs[-1] + 1
    path = folder / group / f"{row}_seed{seed}"
    path.mkdir(parents=True)
    config = {"seed": seed, "run": {"group": group, "name": row}, "data": dict(data)}
    config["trainer"] = {"max_epochs": of, **dict(trainer)}
    write_json(path / "summary.json", {"status": status, "config": config, "best": None, "last": None})
    rows = []
    classes = SPEC.classes if len(curve.iou[0]) == 19 else [f"class {number}" for number in range(11)]
    for epoch in sorted({*curve.epochs, (until or of) - 1}):  # a real run has a row for every epoch
        if epoch >= (until or of):
            break
        iou = dict.fromkeys((f"val/iou/{name}" for name in classes), "")
        means = {"val/miou": "", "val/miou_reduced": ""}
        if epoch in curve.epochs:
            at = curve.epochs.index(epoch)
            values = [min(max(value + offset, 0), 100) / 100 for value in curve.iou[at]]
            iou = dict(zip(iou, values, strict=True))
            kept = [value for index, value in enumerate(values) if index not in (14, 15, 16)]
            means = {"val/miou": sum(values) / len(values), "val/miou_reduced": sum(kept) / len(kept)}
        rows.append({"epoch": epoch, **means, **iou})
    write_metrics(path, rows)
