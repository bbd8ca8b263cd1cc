"""What the runtimes of exported graphs share: fused upsampling outside the graph, or the graph's own labels."""

from __future__ import annotations

import importlib
from types import ModuleType

import cv2
import numpy as np

from regseg.errors import InputError
from regseg.inference.export_info import ExportInfo
from regseg.inference.upsample import has_numba, interpolated, labels_from_logits, prepare


def require(package: str, extra: str, what: str) -> ModuleType:
    """Import an optional package.

    Raises:
        InputError: it is not installed; names the command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"{what} needs a package that is not installed: pip install 'regseg[{extra}]'.") from error


def check_input(path: object, names: list[str], kind: str, rank: int | None) -> None:
    """Check that a graph takes one tensor of images, as those of `regseg.inference.export` do.

    Args:
        path: the file, for the error.
        names: the names of its inputs.
        kind: the element type of the first one, as the runtime names it.
        rank: its number of dimensions; None if the graph does not say.

    Raises:
        InputError: it takes something else.
    """
    if names != ["images"] or kind not in ("u8", "uint8_t", "tensor(uint8)") or rank not in (None, 4):
        raise InputError(
            f"{path} does not have the input of this project's graphs (`images`, uint8, B x H x W x 3); use a file "
            "written by python -m regseg.export."
        )


class ExportedRuntime:
    """Labels from a graph that takes (B, H, W, 3) uint8.

    If numba is installed, the graph is run only up to the low-resolution logits. The fused upsampling of
    `regseg.inference.upsample` then takes a fifth of the time that upsampling takes inside the graph.

    Args:
        info: the file's record.
        fused: whether to upsample outside the graph; None does so if numba is installed, False runs the whole graph.
    """

    name = ""

    def __init__(self, info: ExportInfo, fused: bool | None = None) -> None:
        self.info, self.spec, self.size, self.precision = info, info.spec, info.size, info.precision
        self.short_side = info.short_side
        self.fused = has_numba() if fused is None else fused

    @property
    def resizes_logits(self) -> bool:
        """See `regseg.inference.runtimes.Runtime`."""
        return self.fused or self.info.output == "logits"

    def __call__(self, images: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        own = images.shape[1:3]
        size = own if size is None else (size[0], size[1])
        output = self.run(images)
        self._check(output, own)
        if self.fused:
            return labels_from_logits(output if size == own else interpolated(output, own), size)
        if self.info.output == "logits":
            return (output if size == own else interpolated(output, size)).argmax(1).astype(np.uint8)
        if size == own:
            return output
        return np.stack([cv2.resize(one, size[::-1], interpolation=cv2.INTER_NEAREST) for one in output])

    def _check(self, output: np.ndarray, size: tuple[int, ...]) -> None:
        """Raise InputError for the output of a graph that computes something else than the record says."""
        classes = self.spec.num_classes
        if self.fused or self.info.output == "logits":
            sound = output.ndim == 4 and output.shape[1] == classes and output.dtype.kind == "f"
        else:
            sound = output.shape[1:] == size and output.dtype == np.uint8 and output.max() < classes
        if not sound:
            raise InputError(f"The exported graph does not compute labels of {classes} classes; export it again.")

    def low_resolution_logits(self, images: np.ndarray) -> np.ndarray | None:
        """See `regseg.inference.runtimes.Runtime`."""
        return self.run(images) if self.fused else None

    def load(self) -> None:
        """See `regseg.inference.runtimes.Runtime`."""
        if self.fused:
            prepare()

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return the low-resolution logits (B, C, h, w) float32 if `fused`, else the graph's output."""
        raise NotImplementedError
