"""Fused upsampling gives the labels of interpolate and argmax, at even and odd sizes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from regseg.inference import upsample
from regseg.inference.upsample import _labels_by_torch, interpolated, labels_from_logits, labels_of

SIZES = [((16, 24), (64, 96)), ((17, 23), (66, 91)), ((12, 9), (96, 72)), ((33, 20), (33, 20)), ((8, 8), (63, 17))]
SIZES += [((20, 30), (11, 17)), ((1, 1), (5, 7))]


@pytest.fixture(params=["numba", "torch"])
def labels(request):
    if request.param == "torch":
        return _labels_by_torch
    pytest.importorskip("numba")
    return lambda logits, size: torch.from_numpy(labels_from_logits(logits.numpy(), size))


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_equal_to_interpolate_and_argmax(labels, source, target):
    """Labels may differ only where two logits are equal but for float32 rounding."""
    logits = torch.randn(2, 19, *source, generator=torch.Generator().manual_seed(0))
    full = F.interpolate(logits, target, mode="bilinear", align_corners=False)
    found = labels(logits, target)
    assert found.dtype == torch.uint8 and found.shape == (2, *target)
    lost = full.amax(1) - full.gather(1, found[:, None].long())[:, 0]
    assert lost.max() < 1e-5
    assert (found != full.argmax(1)).float().mean() < 1e-4


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_interpolated_logits(source, target):
    logits = torch.randn(2, 5, *source, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(logits, target, mode="bilinear", align_corners=False)
    assert np.allclose(interpolated(logits.numpy(), target), expected.numpy(), atol=1e-5)


def test_the_first_of_equal_classes(labels):
    assert labels(torch.zeros(1, 5, 4, 4), (16, 16)).max() == 0


def test_one_class_and_many(labels):
    assert labels(torch.randn(1, 1, 4, 4), (16, 16)).max() == 0
    logits = torch.zeros(1, 254, 4, 4)
    logits[:, 253] = 1
    assert labels(logits, (16, 16)).min() == 253


def test_threads_cover_all_rows(monkeypatch):
    pytest.importorskip("numba")
    logits = np.random.default_rng(0).normal(size=(2, 7, 50, 60)).astype(np.float32)
    alone = labels_from_logits(logits, (199, 240))
    monkeypatch.setattr(upsample, "num_threads", lambda: 3)
    monkeypatch.setattr(upsample, "_PIXELS_PER_THREAD", 1)
    assert (labels_from_logits(logits, (199, 240)) == alone).all()


def test_bfloat16_and_missing_numba(monkeypatch):
    logits = torch.randn(1, 7, 10, 12, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = labels_of(logits, (40, 48))
    monkeypatch.setattr(upsample, "has_numba", lambda: False)
    assert (labels_of(logits, (40, 48)) == found).float().mean() > 0.999


def test_prepare_runs_the_kernel_where_numba_is(monkeypatch):
    calls = []
    monkeypatch.setattr(upsample, "labels_from_logits", lambda *arguments: calls.append(arguments))
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(upsample, "_pool", lambda: pool)
        for installed in (False, True):
            monkeypatch.setattr(upsample, "has_numba", lambda installed=installed: installed)
            upsample.prepare()
    assert len(calls) == 1
