"""The plugin through which Lightning writes and reads checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from regseg.errors import InputError
from regseg.models.finite import first_not_finite
from regseg.system.checkpoint_file import read_checkpoint_file, write_checkpoint_file
from regseg.system.records import section

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


def tensors_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a training continues from, by name: its weights, with EMA also the latest ones, and the optimizer's.

    Weights stay finite while, for example, Adam's second moment is infinite, but the optimizer no longer updates them.
    """
    found = dict(section(checkpoint, "state_dict"))
    found |= {f"latest {name}": value for name, value in section(checkpoint, "current_model_state").items()}
    for optimizer in checkpoint.get("optimizer_states", ()):
        for number, values in section(optimizer, "state").items():
            values = values if isinstance(values, Mapping) else {}
            found |= {f"{name} of the optimizer's parameter {number}": value for name, value in values.items()}
    return found


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint atomically, through a temporary file in the same folder, and reads only plain data.

    The former ``last.ckpt`` is kept as ``previous.ckpt``. Weights that are not finite are refused.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``.

        Args:
            checkpoint: The checkpoint.
            path: The file.
            storage_options: Ignored.

        Raises:
            InputError: A weight, or a value of the optimizer's state, is not finite.
        """
        if bad := first_not_finite(tensors_of(checkpoint)):
            raise InputError(
                f"The weights or the optimizer's state are not finite after epoch {checkpoint.get('epoch')} (the first "
                f"one is {bad}), so {path} is not written; lower optimizer.lr, or check the images and labels."
            )
        path = Path(path)
        write_checkpoint_file(path, checkpoint, keep=path.with_name(PREVIOUS) if path.name == LAST else None)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Read the checkpoint at ``path`` as plain data."""
        return read_checkpoint_file(path)
