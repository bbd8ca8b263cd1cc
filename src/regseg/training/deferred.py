"""Values of a GPU that are read later, so that the host never waits for the work it has just queued."""

from __future__ import annotations

import torch
from torch import Tensor


def runs_behind(device: torch.device) -> bool:
    """Return whether a device executes work after the call that queued it returns, so that reading a value waits."""
    return device.type == "cuda"


class DeferredRead:
    """A copy of a tensor to the host that is in progress.

    Args:
        values: A tensor on any device. On a GPU it is copied to pinned memory without waiting.
    """

    def __init__(self, values: Tensor) -> None:
        self._event = None
        self._values = values.to("cpu", non_blocking=values.is_cuda)  # pinned memory if the copy does not block
        if values.is_cuda:
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(values.device))

    def read(self) -> Tensor:
        """Return the values; waits for the copy, but not for work that was queued after it."""
        if self._event is not None:
            self._event.synchronize()
        return self._values
