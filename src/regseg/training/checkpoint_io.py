"""The plugin through which Lightning writes and reads checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from regseg.errors import InputError
from regseg.models.finite import first_not_finite
from regseg.system.checkpoint_file import read_checkpoint_file, write_checkpoint_file

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


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
            InputError: A weight is not finite.
        """
        if bad := first_not_finite(checkpoint.get("state_dict", {})):
            raise InputError(
                f"The weights are not finite after epoch {checkpoint.get('epoch')} (the first one is {bad}), so {path} "
                "is not written; lower optimizer.lr, or check the images and labels."
            )
        path = Path(path)
        write_checkpoint_file(path, checkpoint, keep=path.with_name(PREVIOUS) if path.name == LAST else None)

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Read the checkpoint at ``path`` as plain data."""
        return read_checkpoint_file(path)
