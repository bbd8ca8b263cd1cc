"""Compares an exported file with PyTorch: which labels change, and by how much the logits differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from regseg.data.augment.transforms import normalize
from regseg.data.datasets.spec import DatasetSpec

if TYPE_CHECKING:
    from regseg.data.datamodule import SegmentationDataModule

# By precision: the largest share of labels that may change, and the largest difference of a low-resolution logit,
# relative to the largest logit. RegSeg trained on CamVid and a small one trained on synthetic streets reach at most
# f32 0 and 1.4e-6, f16 0.06 % and 1.4e-3, bf16 0.47 % and 0.029, int8 1.8 % and 0.145. The bounds are at least twice
# that, because networks round differently. A barely trained network can exceed them: its logits are nearly tied.
_ALLOWED = {"f32": (1e-4, 1e-4), "f16": (2e-3, 0.01), "bf16": (0.01, 0.06), "int8": (0.05, 0.3)}
# On noise no class fits, and a correct bf16 file changed 1.4 % of the labels. An int8 file is calibrated on photographs
# only, and a correct one changed 15 %; its result on noise is printed, and only a nonsensical one is refused.
_ON_NOISE = {name: (3 * share, furthest) for name, (share, furthest) in _ALLOWED.items()} | {"int8": (1.0, 1.0)}
_RANDOM_SIZES = ((128, 192), (97, 131))


@dataclass(frozen=True)
class Check:
    """The comparison on one image.

    Attributes:
        image: a description of the image.
        size: (height, width) in pixels.
        changed: share of the labels that differ from PyTorch's in float32.
        difference: the largest difference of a low-resolution logit, relative to the largest logit.
        allowed: the largest share that passes.
        allowed_difference: the largest difference that passes.
    """

    image: str
    size: tuple[int, int]
    changed: float
    difference: float
    allowed: float
    allowed_difference: float

    @property
    def passed(self) -> bool:
        """Whether the labels and logits differ by no more than is allowed; False if a logit is NaN."""
        return self.changed <= self.allowed and self.difference <= self.allowed_difference

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.image} image {self.size[0]}x{self.size[1]}: {self.changed:.4%} of the labels changed, logits "
            f"differ by up to {self.difference:.2e} of the largest logit"
        )


def check_export(
    path: Path,
    network: nn.Module,
    spec: DatasetSpec,
    precision: str,
    size: tuple[int, int] | None,
    real: list[np.ndarray],
) -> list[Check]:
    """Compare an exported file with the network in float32 on random and real images.

    Args:
        path: the exported file.
        network: the network that was exported.
        spec: its classes.
        precision: precision of the export.
        size: the only size that the file takes, or None; then an even and an odd size are compared.
        real: (H, W, 3) uint8 photographs; may be empty.
    """
    from regseg.inference.runtimes import open_runtime

    name, hint = _runtime_of(path, precision)
    whole, fused = (open_runtime(path, name, hint, "cpu", fused=fused, quiet=True) for fused in (False, True))
    network = network.eval()
    checks = []
    for name, image in [*_random(size), *_real(real, size)]:
        with torch.inference_mode():
            low = cast(Any, network).low_resolution_logits(normalize(torch.from_numpy(image[None])))
            logits = torch.nn.functional.interpolate(low, image.shape[:2], mode="bilinear", align_corners=False)
        expected = logits.argmax(1).byte().numpy()
        changed = max(float((runtime(image[None]) != expected).mean()) for runtime in (whole, fused))
        found = fused.low_resolution_logits(image[None])
        difference = 0.0 if found is None else float(np.abs(found - low.numpy()).max() / low.abs().max())
        allowed = (_ON_NOISE if name == "random" else _ALLOWED)[precision]
        checks.append(Check(name, image.shape[:2], changed, difference, *allowed))
    return checks


def _runtime_of(path: Path, precision: str) -> tuple[str, str]:
    """Return the runtime of an exported file, and the precision of its arithmetic."""
    from regseg.inference.openvino_runtime import has_bfloat16

    if path.suffix != ".xml":
        return ("onnxruntime", "auto") if path.suffix == ".onnx" else ("torch", "f32")
    if precision == "bf16" and has_bfloat16():
        return "openvino", "bf16"
    return "openvino", "f32" if precision in ("f32", "f16") else "auto"


def evaluation_images(data: SegmentationDataModule | None, count: int) -> list[np.ndarray]:
    """Return up to ``count`` images of the validation split at the evaluation size; none without a dataset."""
    return [] if data is None else [data.val_set[i]["image"] for i in range(min(count, len(data.val_set)))]


def _random(size: tuple[int, int] | None) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for height, width in [size] if size else _RANDOM_SIZES:
        yield "random", rng.integers(0, 256, (height, width, 3), np.uint8)


def _real(images: list[np.ndarray], size: tuple[int, int] | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each image at the given size; or the first one as it is and the second one cut to an odd size."""
    import cv2

    for number, image in enumerate(images):
        if size is not None:
            image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
        elif number == 1:
            image = image[: image.shape[0] - 1 + image.shape[0] % 2, : image.shape[1] - 1 + image.shape[1] % 2]
        yield "real", np.ascontiguousarray(image)
