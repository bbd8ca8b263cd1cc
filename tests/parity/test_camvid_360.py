"""The shipped weights have the scores that experiments/camvid_360.json claims."""

import json
from pathlib import Path

import lightning as L
import pytest
import torch
from safetensors import safe_open

import regseg
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.camvid import SPEC
from regseg.system.weights_files import SHIPPED, resolve_weights
from regseg.training.task import SegmentationTask

PROJECT = Path(__file__).parents[2]
CLAIMED = json.loads((PROJECT / "experiments" / "camvid_360.json").read_text(encoding="utf-8"))
FILE = SHIPPED / "camvid_360.safetensors"


def test_the_file_is_small_and_complete():
    assert FILE.stat().st_size < 8e6
    with safe_open(FILE, "np") as file:
        record = json.loads(file.metadata()["regseg"])
    assert record["spec"]["classes"] == list(SPEC.classes) and record["spec"]["colors"]
    assert record["normalization"]["mean"] == [123.675, 116.28, 103.53]
    assert record["data"]["train_split"] == "trainval" and record["data"]["val_size"] == 360
    assert {"created", "torch", "checks"} <= record["provenance"].keys()
    assert (SHIPPED / "camvid_360.md").is_file()


def test_the_names_work():
    assert "camvid_360" in regseg.list_weights()
    network = regseg.create_model("regseg", weights="camvid_360")
    assert network.config["num_classes"] == 11
    loaded = regseg.load_model("camvid_360")
    assert all((loaded.state_dict()[name] == value).all() for name, value in network.state_dict().items())
    assert regseg.create_model("regseg", weights="camvid_360", num_classes=19).config["num_classes"] == 19
    assert resolve_weights("camvid_360") == FILE


def test_the_documents_state_these_scores():
    page, card, readme = (
        path.read_text(encoding="utf-8")
        for path in (PROJECT / "experiments/camvid_360.md", SHIPPED / "camvid_360.md", PROJECT / "README.md")
    )
    miou, accuracy, averaged = CLAIMED["miou"], CLAIMED["accuracy"], CLAIMED["flip_and_scales"]
    assert f"| `camvid_360` | **{miou:.2f}** | {accuracy:.2f} |" in page
    assert f"| {averaged['miou']:.2f} | {averaged['accuracy']:.2f} |" in page
    assert f"| {' | '.join(f'{iou:.2f}' for iou in CLAIMED['iou'].values())} |" in page
    assert f"{miou:.2f} % mIoU and {accuracy:.2f} % pixel accuracy" in card and f"reach {miou:.1f} % mIoU" in readme
    assert miou == pytest.approx(sum(CLAIMED["iou"].values()) / 11, abs=0.01)


def test_the_page_describes_the_recipe(compose):
    epochs = compose("experiment=camvid_360").trainer.max_epochs
    page = (PROJECT / "experiments/camvid_360.md").read_text(encoding="utf-8")
    assert f"The recipe: {epochs} epochs of 58 iterations" in page and f"{58 * epochs:,} iterations" in page


@pytest.mark.slow
def test_the_scores_are_those_claimed(camvid_root, tmp_path):
    """mIoU of the float16 file on the 233 test images, in percent; its float32 original was measured before storing."""
    data = SegmentationDataModule(
        "camvid", camvid_root, crop_size=[360, 480], val_size=360, val_split="test", num_workers=0
    )
    task = SegmentationTask(regseg.load_model("camvid_360"), SPEC)
    trainer = L.Trainer(
        accelerator="cpu", precision="32-true", logger=False, default_root_dir=tmp_path, enable_progress_bar=False
    )
    with torch.inference_mode():
        (scores,) = trainer.validate(task, data, verbose=False)
    assert 100 * scores["val/miou"] == pytest.approx(CLAIMED["miou"], abs=0.05)
    assert 100 * scores["val/accuracy"] == pytest.approx(CLAIMED["accuracy"], abs=0.05)
    for name, iou in CLAIMED["iou"].items():
        assert 100 * scores[f"val/iou/{name}"] == pytest.approx(iou, abs=0.3), name
    assert CLAIMED["miou"] == pytest.approx(CLAIMED["miou_float32"], abs=0.05)
