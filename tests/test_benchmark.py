"""`python -m regseg.benchmark`, as its users run it."""

from regseg.benchmarks import loader, pillow_baseline
from regseg.data.datamodule import SegmentationDataModule


def test_every_pipeline_prepares_the_same_crops(mine, monkeypatch):
    """In each of the three rounds, all five pipelines cut out the same windows."""
    windows, draw_window = [], pillow_baseline.draw_window

    def note(*arguments):
        windows.append(draw_window(*arguments))
        return windows[-1]

    for module in (loader, pillow_baseline):
        monkeypatch.setattr(module, "draw_window", note)
    datamodule = SegmentationDataModule(
        "folder", mine, batch_size=2, crop_size=(16, 20), short_side=(14, 60), num_workers=0,
        augment={"randaug": {}}, class_uniform=0.5,
    )  # fmt: skip
    loader.benchmark_loader(datamodule, images=5, rounds=2)
    assert len(set(windows[:5])) == 5 and windows == 3 * 5 * windows[:5]


def test_kernels(run_module, mine):
    result = run_module(
        "regseg.benchmark", "what=kernels", "data=folder", f"data.root={mine}", "images=2", "data.crop_size=[8,8]"
    )
    assert result.returncode == 0, result.stderr
    rows = {line.split("│")[1].strip(): line.split("│") for line in result.stdout.splitlines() if "│" in line}
    assert float(rows["image, Pillow bilinear"][2]) == 0 and float(rows["image, ours"][2]) < 0.5


def test_the_loader_is_measured(run_module, mine):
    options = (
        "data=folder",
        f"data.root={mine}",
        "data.crop_size=[8,8]",
        "data.short_side=[12,40]",
        "images=2",
        "rounds=1",
    )
    result = run_module("regseg.benchmark", *options)
    assert result.returncode == 0, result.stderr
    for words in ("Pillow, half", "cache", "Peak memory of a worker", "index of 3000 labels"):
        assert words in result.stdout
    assert "data.batch_size" in run_module("regseg.benchmark", "what=training", "data.batch_size=0").stderr


def test_an_unknown_benchmark_is_named(run_module):
    for typed in ("seed=x", "int8=maybe"):
        assert typed.partition("=")[0] in run_module("regseg.benchmark", typed).stderr.splitlines()[-1]
    result = run_module("regseg.benchmark", "what=dance")
    assert result.returncode == 2 and "what=dance does not exist; choose one of loader" in result.stderr
