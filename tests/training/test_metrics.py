import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from regseg.data.datasets.cityscapes import SPEC
from regseg.data.datasets.spec import DatasetSpec
from regseg.data.io import read_label
from regseg.data.sampling.epochs import UnpaddedSampler
from regseg.data.torch_datasets import EvaluationSet
from regseg.training.metrics import ConfusionMatrix, Scores


def scores_of(predictions, labels, spec=SPEC):
    matrix = ConfusionMatrix(spec.num_classes)
    matrix.update(torch.from_numpy(predictions).long(), torch.from_numpy(labels).long())
    return Scores.from_confusion(matrix.compute(), spec)


def test_equal_to_the_official_evaluator(tmp_path):
    """Per-class IoU and their mean against cityscapesScripts, on files, with absent classes and ignored pixels."""
    evaluation = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    rng = np.random.default_rng(0)
    classes = [label_id for label_id, index in SPEC.ids.items() if index not in (255, 15, 16)]  # no bus, no train
    files, arrays = [], []
    for number in range(3):
        label_ids = cv2.resize(rng.choice([0, 1, 4, *classes], (8, 16)).astype(np.uint8), (64, 32), interpolation=0)
        predicted_ids = np.where(rng.random((32, 64)) < 0.3, rng.choice(classes, (32, 64)), label_ids).astype(np.uint8)
        predicted_ids[np.isin(predicted_ids, [0, 1, 4])] = 7
        paths = tmp_path / f"{number}_gtFine_labelIds.png", tmp_path / f"{number}_prediction.png"
        for path, array in zip(paths, (label_ids, predicted_ids), strict=True):
            cv2.imwrite(str(path), array)
        files.append(paths)
        arrays.append((read_label(paths[1], SPEC), read_label(paths[0], SPEC)))

    arguments = evaluation.args
    arguments.quiet, arguments.JSONOutput, arguments.evalInstLevelScore = True, False, False
    official = evaluation.evaluateImgLists([str(p) for _, p in files], [str(g) for g, _ in files], arguments)
    ours = scores_of(*(np.stack(part) for part in zip(*arrays, strict=True)))

    for name, value in ours.iou.items():
        assert value == pytest.approx(official["classScores"][name], nan_ok=True), name
    assert ours.miou == pytest.approx(official["averageScoreClasses"])
    assert ours.absent == ["bus", "train"]


def test_absent_classes_do_not_count():
    labels = np.array([[0, 0, 1, 255]], np.uint8)
    predictions = np.array([[0, 1, 1, 5]], np.uint8)  # the 5 is on an ignored pixel
    scores = scores_of(predictions, labels)
    assert scores.iou["road"] == 0.5 and scores.iou["sidewalk"] == 0.5
    assert scores.miou == 0.5 and scores.accuracy == pytest.approx(2 / 3)
    assert len(scores.absent) == 17 and math.isnan(scores.iou["train"])


def test_a_class_only_predicted_counts_as_zero():
    scores = scores_of(np.array([[0, 2]], np.uint8), np.array([[0, 0]], np.uint8))
    assert scores.iou["building"] == 0 and scores.miou == 0.25


def test_the_reduced_mean_leaves_out_truck_bus_and_train():
    labels = np.array([[0, 13, 14, 15, 16]], np.uint8)
    predictions = np.array([[0, 13, 13, 15, 16]], np.uint8)
    scores = scores_of(predictions, labels)
    assert scores.miou == pytest.approx((1 + 0.5 + 0 + 1 + 1) / 5)
    assert scores.miou_reduced == pytest.approx((1 + 0.5) / 2)


def test_counts_beyond_what_float_holds_stay_exact():
    matrix = torch.zeros(19, 19, dtype=torch.int64)
    matrix[0, 0], matrix[0, 1], matrix[1, 1] = 2**30 + 1, 1, 1  # float32 could not tell road's IoU from 1
    assert matrix.dtype == ConfusionMatrix(19).counts.dtype
    assert Scores.from_confusion(matrix, SPEC).iou["road"] == (2**30 + 1) / (2**30 + 2) < 1


def test_metrics_round_trip():
    scores = scores_of(np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8))
    flat = scores.metrics()
    assert list(flat) == Scores.names(SPEC)
    again = Scores.from_metrics({k: None if v != v else v for k, v in flat.items()})
    assert again.miou == scores.miou and again.absent == scores.absent


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ranks_count_an_evaluation_together(size):
    """Fewer images than ranks, too: every rank has equally many, and those that fill up count nothing."""
    rng = np.random.default_rng(0)
    files = [Path(f"{number}.png") for number in range(size)]
    pairs = [(np.zeros((4, 6, 3), np.uint8), rng.integers(0, 19, (4, 6)).astype(np.uint8)) for _ in files]
    samples = [SimpleNamespace(image=path, label=path) for path in files]
    dataset = EvaluationSet(samples, SimpleNamespace(read=lambda index: pairs[index], spec=SPEC), None)
    counts = []
    for rank in range(4):
        matrix, sampler = ConfusionMatrix(19), UnpaddedSampler(size, rank, 4)
        assert len(sampler) == max(1, -(-size // 4))
        for index in sampler:
            label = torch.from_numpy(dataset[index]["label"])
            matrix.update(torch.zeros_like(label), label)
        counts.append(matrix.compute())
    whole = np.stack([np.bincount(label.ravel(), minlength=19) for _, label in pairs]).sum(0)
    assert sum(counts)[:, 0].tolist() == whole.tolist() and sum(counts).sum() == size * 24


def test_a_single_class():
    """torchmetrics gives a (1, 1) matrix as a scalar."""
    spec = DatasetSpec("one", ("foreground",), ((255, 0, 0),), ids={1: 0, 0: 255})
    scores = scores_of(np.array([[0, 0, 0]], np.uint8), np.array([[0, 255, 0]], np.uint8), spec)
    assert scores.iou == {"foreground": 1.0} and scores.miou == scores.accuracy == 1
    nothing = scores_of(np.array([[0]], np.uint8), np.array([[255]], np.uint8), spec)
    assert nothing.absent == ["foreground"] and math.isnan(nothing.miou)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_the_matrix_is_that_of_a_loop(dtype):
    rng = np.random.default_rng(1)
    labels, predictions = rng.integers(0, 254, (2, 3, 5, 7))
    labels[0, 0] = 255
    expected = np.zeros((254, 254), np.int64)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if label != 255:
            expected[label, prediction] += 1
    matrix = ConfusionMatrix(254).half()
    for part in range(3):
        matrix.update(*(torch.from_numpy(array[part]).to(dtype) for array in (predictions, labels)))
    assert matrix.compute().dtype == torch.int64 and matrix.compute().tolist() == expected.tolist()
