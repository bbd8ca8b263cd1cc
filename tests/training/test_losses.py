import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn import functional as F

from regseg.training import losses as losses_module
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


def by_indexing(logits, labels, threshold, min_share):
    """The definition, in the words of Sec. 4.2."""
    losses = F.cross_entropy(logits, labels, ignore_index=255, reduction="none").flatten()
    fewest, hard = int(losses.numel() * min_share), losses > threshold
    chosen = losses[hard] if hard.sum() > fewest else torch.topk(losses, max(fewest, 1)).values
    return chosen.mean()


def value_and_gradient(loss, logits, labels):
    logits = logits.detach().requires_grad_()
    value = loss(logits, labels)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize("behind", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("threshold", "min_share"), [(0.3, 1 / 16), (6.0, 1 / 16), (0.3, 1.0), (1e9, 0.0)])
def test_ohem_equals_its_definition(batch, behind, dtype, threshold, min_share, monkeypatch):
    """On a GPU too, where both means are computed and the number of hard pixels is not read."""
    monkeypatch.setattr(losses_module, "runs_behind", lambda device: behind)
    logits, labels = batch[0].to(dtype), batch[1]
    found = value_and_gradient(OHEM(threshold, min_share), logits, labels)
    expected = value_and_gradient(lambda *pair: by_indexing(*pair, threshold, min_share), logits, labels)
    bound = 1e-12 if dtype == torch.float64 else 1e-6  # sums in another order
    torch.testing.assert_close(found[0], expected[0], rtol=bound, atol=0)
    torch.testing.assert_close(found[1], expected[1], rtol=bound, atol=bound / 1e6)


@pytest.mark.parametrize("loss", [OHEM(), CrossEntropy()], ids=["ohem", "cross_entropy"])
def test_no_loss_reads_a_value_of_the_gpu(batch, loss):
    """Fake tensors of a GPU hold no values: whatever needs one, or a shape that depends on one, raises."""
    with FakeTensorMode():
        logits = torch.empty(batch[0].shape, device="cuda")
        labels = torch.empty(batch[1].shape, dtype=torch.long, device="cuda")
        loss(logits, labels)
        with pytest.raises(DataDependentOutputException):
            bool(labels.sum() > 0)
