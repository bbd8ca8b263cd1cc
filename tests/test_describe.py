import json
import re
import shutil

import pytest

from regseg.reporting.network_figures import print_table


def test_one_network_as_json(run_module):
    result = run_module("regseg.describe", "model/backbone=dilation_1_6", "format=json", "size=[64,128]")
    (facts,) = json.loads(result.stdout).values()
    assert facts["field_of_view"] == 2207 and facts["parameters"] == 3334951
    assert facts["blocks"][-1]["field_of_view"] == 2207 and len(facts["blocks"]) == 1 + 1 + 3 + 14
    assert [(row["pixels"], row["met"]) for row in facts["needed_field_of_view"]] == [
        (447, True), (2047, True), (4095, False),
    ]  # fmt: skip
    assert facts["paper"][0] == {
        "quantity": "field of view (pixels)", "ours": 2207, "paper": 2207, "where": "Table 4, row 6", "why": "",
    }  # fmt: skip


def test_speeds_of_this_machine_fit_80_columns(run_module, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    row = {"network": "dilation_1_6 + regseg", "size": [64, 128], "runtime": "openvino", "precision": "bf16"}
    path = tmp_path / "inference.json"
    path.write_text(json.dumps({"machine": "Some CPU, 2 threads", "results": [row | {"images_per_s": 41.24}]}))
    result = run_module("regseg.describe", "model/backbone=dilation_1_6", "size=[64,128]", f"benchmark={path}")
    assert "41.2 (openvino bf16)" in result.stdout and "…" not in result.stdout
    assert "at 64x128 on this machine: Some CPU, 2 threads" in " ".join(result.stdout.split())


def test_every_network_with_the_papers_figures_and_why_they_differ(run_module):
    result = run_module("regseg.describe", "all=true", "size=[64,128]")
    assert result.returncode == 0, result.stderr
    for text in (
        "ddrnet23",
        "3,334,951 (3.34)",
        "20,148,819",
        "479 (607)",
        "RegNetX-600MF",
        "regseg_large + regseg_large",
    ):
        assert text in result.stdout
    for row in ("regnety_600mf + sum_conv3x3 | 479 | met | not met | not met", "ddrnet23 | – | – | – | –"):
        assert re.search(r" +│ +".join(map(re.escape, row.split(" | "))), result.stdout), row
    assert result.stdout.count("sum_conv3x3") >= 20 and result.stdout.count("dilation_1_12 + ") == 2 * 9


def test_the_table_of_networks_fits_80_columns(monkeypatch, capsys):
    """The longest name, with figures that differ from the paper's."""
    monkeypatch.setenv("COLUMNS", "80")
    figures = {"parameters": "3.34", "GFLOPs": "143.1", "field of view": "607"}
    paper = [{"quantity": name, "paper": value, "why": "rounded"} for name, value in figures.items()]
    facts = {"size": (1024, 2048), "parameters": 3334951, "gflops": 143.68, "field_of_view": 479, "paper": paper}
    print_table({"dilation_1_14_gradual + sum_conv3x3": facts})
    row = next(line for line in capsys.readouterr().out.splitlines() if "gradual" in line)
    assert row.split("conv3x3")[1].split() == ["3,334,951", "(3.34)", "143.68", "(143.1)", "479", "(607)"]


def test_the_picture(run_module, tmp_path, streets_root):
    images = streets_root / "leftImg8bit" / "val"
    result = run_module("regseg.describe", "picture=fov.png", "size=[64,128]", f"images={images}", "count=2")
    assert result.returncode == 0, result.stderr
    assert "fov.png" in result.stdout and (tmp_path / "fov.png").stat().st_size > 20_000


def test_trained_weights_as_json(run_module, tmp_path, streets_root):
    """The network has the classes of the weights, stdout is nothing but JSON, and a folder may be called 2024."""
    shutil.copytree(streets_root / "leftImg8bit" / "val", tmp_path / "2024")
    arguments = ["weights=camvid_360", "format=json", "size=[64,128]", "picture=fov.png", "images=2024", "count=1"]
    result = run_module("regseg.describe", *arguments)
    (facts,) = json.loads(result.stdout).values()
    assert facts["parameters"] == 3334431
    assert "Loaded 470 of 470" in result.stderr and "Picture: fov.png" in result.stderr
    result = run_module("regseg.describe", *arguments[:3], "num_classes=19")
    assert "Loaded 468 of 470" in result.stderr and "classifier" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("format=xml", "choose one of text, json"),
        ("all=ture", "all=ture is not a boolean"),
        ("size=[64]", "size=[1024,2048]"),
        ("size=[8,64]", "of at least 32"),
        ("model.backbone.dilations=[[1,2,3]]", "1 or 2 or 4"),
        ("model/decoder=unet", "choose one of"),
        ("picture=true", "write picture=field_of_view.png"),
        ("picture=x.png images=. count=0", "count=0 is not an integer of at least 1."),
        ("images=2024", "images is for the picture of the field of view; add picture="),
        ("num_classes=99999999999999999999", "is not a number of classes from 1 to 65536."),
        ("picture=x.png images=2024", "2024 contains no images"),
        ("picture=x.png all=true", "picture is for a single network; remove picture or all=true."),
        ("weights=camvid_360 all=true", "weights is for a single network; remove weights or all=true."),
    ],
)
def test_mistakes(run_module, arguments, words):
    result = run_module("regseg.describe", *arguments.split())
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr
