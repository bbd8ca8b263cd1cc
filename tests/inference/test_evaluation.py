"""Exported files are evaluated like checkpoints, and labels come from low-resolution logits."""

import pytest
import torch

from regseg.data.augment.transforms import normalize
from regseg.data.datasets.cityscapes import SPEC
from regseg.inference.runtime_network import RuntimeNetwork
from regseg.inference.runtimes import open_runtime
from regseg.inference.upsample import labels_of
from regseg.training.task import SegmentationTask


@pytest.mark.parametrize("size", [(90, 122), (64, 128)])
def test_a_runtime_in_place_of_the_network(exported, network, photograph, size):
    images = torch.from_numpy(photograph[None])
    with torch.inference_mode():
        task = SegmentationTask(network, SPEC).eval()
        # A runtime has no full-size logits: it interpolates once, also to another size than the images'.
        expected = labels_of(network.low_resolution_logits(normalize(images)), size)
        assert size != images.shape[1:3] or torch.equal(task.predict_labels(images, size), expected)
        runtime = RuntimeNetwork(open_runtime(exported("onnx"), precision="f32"))
        found = SegmentationTask(runtime, SPEC).predict_labels(images, size)
    assert found.shape == (1, *size) and (found == expected).float().mean() > 0.9999


def test_labels_are_those_of_the_full_size_logits(network, photograph):
    images = torch.from_numpy(photograph[None])
    task = SegmentationTask(network, SPEC).eval()
    with torch.inference_mode():
        full = task(images).argmax(1)
        assert (task.predict_labels(images, full.shape[1:]) == full).float().mean() > 0.9999
        # At another size the full-size logits are interpolated once more, as in the author's release.
        size = (full.shape[1] // 2 + 1, full.shape[2] * 2)
        again = torch.nn.functional.interpolate(task(images), size, mode="bilinear", align_corners=False).argmax(1)
        assert (task.predict_labels(images, size) == again).float().mean() > 0.9999


def test_evaluate_an_exported_file(run_module, exported, checkpoint, streets_root):
    rows = []
    for weights, precision in ((checkpoint, "auto"), (exported("onnx"), "f32")):
        options = [f"precision={precision}", "trainer.precision=32-true", "trainer.accelerator=cpu"]
        done = run_module("regseg.evaluate", f"weights={weights}", f"data.root={streets_root}", *options)
        assert done.returncode == 0, done.stderr
        rows.append(next(line for line in done.stdout.splitlines() if "mIoU" in line and "reduced" not in line))
    assert rows[0] == rows[1] and any(letter in "123456789" for letter in rows[0])


def test_what_a_graph_cannot_do(run_module, exported, streets_root):
    done = run_module("regseg.evaluate", f"weights={exported('onnx')}", f"data.root={streets_root}", "flip=true")
    assert done.returncode == 2 and "flip and scales need logits" in done.stderr


def test_a_precision_without_a_runtime_is_not_ignored(run_module, checkpoint, streets_root):
    done = run_module("regseg.evaluate", f"weights={checkpoint}", f"data.root={streets_root}", "precision=bf16")
    assert done.returncode == 2 and "trainer.precision" in done.stderr
