import pytest
import torch
from torch.nn import functional as F

from regseg.training.losses import OHEM, CrossEntropy


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 5, 16, 24, generator=generator)
    labels = torch.randint(0, 5, (2, 16, 24), generator=generator)
    labels[:, :4] = 255
    return logits, labels


def test_cross_entropy_is_the_mean_over_labelled_pixels(batch):
    torch.testing.assert_close(CrossEntropy()(*batch), F.cross_entropy(*batch, ignore_index=255))


def test_cross_entropy_of_nothing_is_zero(batch):
    logits, labels = batch
    loss = CrossEntropy()(logits.requires_grad_(), torch.full_like(labels, 255))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().max() == 0


def test_ohem_averages_the_hard_pixels(batch):
    losses = F.cross_entropy(*batch, ignore_index=255, reduction="none").flatten()
    hard = losses[losses > 0.3]
    assert len(hard) > losses.numel() // 16
    torch.testing.assert_close(OHEM()(*batch), hard.mean())


def test_ohem_falls_back_to_the_largest_sixteenth():
    # 256 pixels, K = 16; 16 losses exceed 0.3, which is not more than K: the 16 largest count, ignored ones as 0.
    logits = torch.zeros(1, 2, 16, 16)
    logits[:, 0] = 10.0  # class 0 is certain
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels.view(-1)[:3] = 1  # three pixels are wrong by 10
    labels.view(-1)[3:250] = 255
    expected = (3 * 10.0 + 6 * F.softplus(torch.tensor(-10.0)).item() + 7 * 0) / 16
    assert OHEM()(logits, labels).item() == pytest.approx(expected, rel=1e-4)


def test_ohem_compares_strictly():
    # Exactly K pixels above the threshold: the K largest are these, so one more easy pixel must not enter.
    logits, labels = torch.zeros(1, 2, 4, 8), torch.zeros(1, 4, 8, dtype=torch.long)
    logits[:, 0] = 8.0
    labels.view(-1)[:2] = 1  # K = 32 / 16 = 2
    assert OHEM()(logits, labels).item() == pytest.approx(8.0, rel=1e-3)
    labels.view(-1)[:3] = 1
    logits.view(2, -1)[0, 2] = 1.0  # three above: their mean, 8, 8 and 1.31
    assert OHEM()(logits, labels).item() == pytest.approx((8 + 8 + 1.3133) / 3, rel=1e-3)
