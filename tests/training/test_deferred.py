"""A training step on a GPU never waits for the device, except in the gradient scaler."""

from collections import Counter

import pytest
import torch
from tiny import Calls, TinyNetwork, train_tiny
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from regseg.training import deferred, finite_steps, losses
from regseg.training.deferred import DeferredRead
from regseg.training.losses import OHEM

# What reads a value, or gives a tensor whose shape depends on one.
WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "unique", "index.Tensor")


class CountWaits(TorchDispatchMode):
    """Counts operations that would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        if any(name.startswith(wait) for wait in WAITS):
            self.counts[name] += 1
        return func(*args, **kwargs or {})


class Watch:
    """Counts in the steps of an epoch but the first, in which Lightning sets up its metrics; not in the loader."""

    def __init__(self):
        self.mode, self.steps = CountWaits(), 0
        self.callbacks = [Calls("on_train_batch_start", self.start), Calls("on_train_batch_end", self.stop)]

    def start(self, trainer, module):
        if trainer.global_step >= 1:
            self.mode.__enter__()

    def stop(self, trainer, module):
        if trainer.global_step >= 2:
            self.mode.__exit__(None, None, None)
            self.steps += 1


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    for module in (finite_steps, losses):
        monkeypatch.setattr(module, "runs_behind", lambda device: True)


@pytest.mark.parametrize("parts", [{}, {"loss": OHEM()}], ids=["cross_entropy", "ohem"])
def test_a_step_reads_no_value(parts, streets_root, tmp_path, as_on_a_gpu):
    watch = Watch()
    train_tiny(streets_root, tmp_path, parts=parts, callbacks=watch.callbacks, max_epochs=1)
    assert watch.steps == 3 and not watch.mode.counts


def test_waits_are_counted(streets_root, tmp_path):
    """What a CPU does at once would be found."""
    watch = Watch()
    train_tiny(streets_root, tmp_path, parts={"loss": OHEM()}, callbacks=watch.callbacks, max_epochs=1)
    assert watch.mode.counts.total() >= 6  # flags and the number of hard pixels, in three steps


def test_flags_need_no_value_of_the_gpu():
    """Fake tensors of a GPU hold no values and raise where one is needed."""
    with FakeTensorMode():
        network = nn.Module()
        network.weight = nn.Parameter(torch.empty(4, 4, device="cuda"))
        network.register_buffer("mean", torch.empty(4, device="cuda"))
        flags = finite_steps._finite([torch.ones((), device="cuda")], network)
    assert flags.device.type == "cuda" and flags.shape == (4,)


def test_a_number_is_logged_without_a_copy_to_the_gpu(streets_root, tmp_path):
    """Lightning makes a tensor of the device out of a number, which waits."""
    kinds = {}

    def keep(trainer, module):
        log = module.log

        def note(name, value, **options):
            kinds[name] = value
            log(name, value, **options)

        module.log = note

    train_tiny(streets_root, tmp_path, callbacks=[Calls("on_train_start", keep)], max_epochs=1)
    assert isinstance(kinds["lr"], torch.Tensor) and kinds["lr"].device.type == "cpu"


def test_values_are_those_of_the_time_of_the_call():
    values = torch.tensor([True, False])
    assert DeferredRead(values).read().tolist() == [True, False]
    assert not deferred.runs_behind(torch.device("cpu")) and deferred.runs_behind(torch.device("cuda", 0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("parts", [{}, {"loss": OHEM()}], ids=["cross_entropy", "ohem"])
def test_a_step_on_a_gpu_does_not_wait(parts, streets_root, tmp_path):
    def set_mode(mode):
        return lambda trainer, module: torch.cuda.set_sync_debug_mode(mode if trainer.global_step >= 1 else "default")

    watch = [Calls("on_train_batch_start", set_mode("error")), Calls("on_train_batch_end", set_mode("default"))]
    try:
        options = {"accelerator": "gpu", "devices": 1, "precision": "bf16-mixed", "max_epochs": 1}
        train_tiny(streets_root, tmp_path, network=TinyNetwork(), parts=parts, callbacks=watch, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_deferred_read_does_not_wait_for_later_work():
    values = torch.arange(4, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        read = DeferredRead(values)
        torch.cuda._sleep(10_000_000)
        assert read.read().tolist() == [0, 1, 2, 3] and not torch.cuda.current_stream().query()
    finally:
        torch.cuda.set_sync_debug_mode("default")
