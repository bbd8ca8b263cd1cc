"""Exported files are evaluated like checkpoints, and labels come from low-resolution logits."""

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from layouts import is_sentence
from torch.nn.functional import interpolate

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.evaluate import make_network
from regseg.inference.predictor import at_size
from regseg.inference.torch_runtime import TorchRuntime
from regseg.training.task import SegmentationTask


def test_the_torch_runtime_interpolates_twice_too(network, photograph):
    expected = SegmentationTask(network, SPEC).eval().predict_labels(torch.from_numpy(photograph[None]), (64, 128))
    assert (TorchRuntime(network, SPEC, "f32", "cpu")(photograph[None], (64, 128)) == expected.numpy()).mean() > 0.9999


def test_a_fixed_size_is_interpolated_twice_too(exported, network, photograph):
    found = regseg.Predictor(exported("openvino", size=(64, 96)), precision="f32")(photograph)
    small = torch.from_numpy(at_size(photograph, (64, 96))[None])
    expected = SegmentationTask(network, SPEC).eval().predict_labels(small, photograph.shape[:2])[0]
    assert (found == expected.numpy()).mean() > 0.9999


@pytest.mark.parametrize("folded", [False, True])
def test_labels_are_those_of_the_full_size_logits(network, photograph, folded):
    """Also of a network that is folded and converted to bfloat16, as evaluations on a CPU in bf16-mixed do."""
    images = torch.from_numpy(photograph[None])
    task = SegmentationTask(network, SPEC).eval()
    with torch.inference_mode():
        full = task(images)
        if folded:
            task._folded = TorchRuntime(network, SPEC, "bf16", "cpu")
            exact = full.argmax(1)
            full = interpolate(task._folded.logits_of(images), full.shape[2:], mode="bilinear")
            assert (full.argmax(1) == exact).float().mean() > 0.98
        assert (task.predict_labels(images, full.shape[2:]) == full.argmax(1)).float().mean() > 0.9999
        # At another size the full-size logits are interpolated once more, as in the author's release.
        size = (full.shape[2] // 2 + 1, full.shape[3] * 2)
        again = interpolate(full, size, mode="bilinear", align_corners=False).argmax(1)
        assert (task.predict_labels(images, size) == again).float().mean() > 0.9999


@pytest.mark.parametrize(("file", "options"), [("export", []), ("checkpoint", ["runtime=openvino"])])
def test_other_runtimes_compare_the_names_of_the_classes(exported, checkpoint, compose, file, options):
    weights = exported("onnx") if file == "export" else checkpoint
    cfg = compose(f"weights={weights}", *options, config="evaluate")
    assert make_network(cfg, SimpleNamespace(spec=SPEC)).runtime.spec.classes == SPEC.classes
    other = replace(SPEC, classes=(*SPEC.classes[1::-1], *SPEC.classes[2:]))
    with pytest.raises(InputError) as error:
        make_network(cfg, SimpleNamespace(spec=other))
    assert is_sentence(error, weights, "other classes than cityscapes", "data=NAME")


def test_evaluate_an_exported_file(run_module, exported, checkpoint, streets_root):
    rows = []
    for weights, precision in ((checkpoint, "auto"), (exported("onnx"), "f32")):
        options = [f"precision={precision}", "trainer.precision=32-true", "trainer.accelerator=cpu", "val_size=48"]
        done = run_module("regseg.evaluate", f"weights={weights}", f"data.root={streets_root}", *options)
        assert done.returncode == 0, done.stderr
        rows.append(next(line for line in done.stdout.splitlines() if "mIoU" in line and "reduced" not in line))
    assert rows[0] == rows[1] and any(letter in "123456789" for letter in rows[0])


def test_what_a_graph_cannot_do(run_module, exported, streets_root):
    done = run_module("regseg.evaluate", f"weights={exported('onnx')}", f"data.root={streets_root}", "flip=true")
    assert done.returncode == 2 and "flip and scales need logits" in done.stderr


def test_a_graph_of_one_size_has_no_other(exported, compose):
    weights = exported("onnx", size=(64, 96))
    for options in ([], ["val_size=48"]):
        cfg = compose(f"weights={weights}", *options, config="evaluate")
        with pytest.raises(InputError) if options else contextlib.nullcontext() as error:
            make_network(cfg, SimpleNamespace(spec=SPEC))
    assert is_sentence(error, weights, "64 pixels high and 96 wide; leave val_size and val_sizes out")


def test_a_precision_without_a_runtime_is_not_ignored(run_module, checkpoint, streets_root):
    done = run_module("regseg.evaluate", f"weights={checkpoint}", f"data.root={streets_root}", "precision=bf16")
    assert done.returncode == 2 and "trainer.precision" in done.stderr


def test_a_model_that_would_not_be_used(run_module, exported, checkpoint, streets_root):
    for options, words in (
        ([f"weights={exported('onnx')}"], "not for weights="),
        ([f"weights={checkpoint}", "runtime=openvino"], "not for runtime=openvino"),
        (["weights=position", "data=cityscapes"], "not for weights=position"),
    ):
        done = run_module("regseg.evaluate", *options, f"data.root={streets_root}", "model=regseg")
        assert done.returncode == 2 and words in done.stderr and "leave model out" in done.stderr, done.stderr
