"""From images to class indices, by any runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np

from regseg.data.augment.crop_resize import resize_image
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError, check_number
from regseg.inference.runtimes import Runtime, open_runtime

SMALLEST = 32  # pixels of an image's shorter side: the networks divide it by 16 or more


class Predictor:
    """A network that labels images.

        predictor = regseg.Predictor("camvid_360")
        labels = predictor(image)

    Args:
        weights: one of `regseg.list_weights()`, a checkpoint, a run's folder, or an exported file (.onnx, .xml,
            .safetensors).
        runtime: ``auto``, ``torch``, ``onnxruntime`` or ``openvino``. ``auto`` picks the fastest that is installed.
        precision: ``auto``, ``f32``, ``bf16`` or, on a GPU, ``f16``. ``auto`` uses float16 on a GPU, and
            bfloat16 on a CPU where that is faster.
        device: ``auto``, ``cpu`` or, with the torch runtime, a device such as ``cuda:0``.
        short_side: for the network, larger images are reduced to this short side in pixels, because objects must have
            about the size that they had in training. ``auto`` takes the evaluation size of the training; None never
            reduces an image. Labels always have the image's own size.

    Attributes:
        runtime: the runtime that was opened.
        short_side: the short side to which larger images are reduced, or None.

    Raises:
        InputError: the file is missing, damaged or from another project, a package is missing, or an argument is
            invalid.
    """

    def __init__(
        self,
        weights: str | Path,
        runtime: str = "auto",
        precision: str = "auto",
        device: str = "auto",
        *,
        short_side: int | str | None = "auto",
    ) -> None:
        if short_side not in ("auto", None):
            check_number("short_side", short_side, lowest=SMALLEST, integer=True)
        if not isinstance(weights, (str, Path)):
            raise InputError(f"The weights are {_described(weights)}; give a name or the path of a file or of a run.")
        self.runtime: Runtime = open_runtime(weights, runtime, precision, device)
        if self.runtime.size and isinstance(short_side, int):
            height, width = self.runtime.size
            raise InputError(f"{weights} accepts only images of {height}x{width} pixels; leave short_side out.")
        recorded = None if self.runtime.size else self.runtime.short_side  # images of one size are not reduced
        self.short_side = recorded if isinstance(short_side, str) else short_side

    @property
    def spec(self) -> DatasetSpec:
        """The classes, their colours and their ids in label files."""
        return self.runtime.spec

    @overload
    def __call__(self, image: np.ndarray) -> np.ndarray: ...
    @overload
    def __call__(self, image: Sequence[np.ndarray]) -> list[np.ndarray]: ...
    def __call__(self, image: np.ndarray | Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        """Label one image or several.

        Args:
            image: (H, W, 3) uint8 RGB, at least 32 pixels high and wide; or a sequence of such images of any sizes.

        Returns:
            (H, W) uint8 class indices at the image's size; or a list of them.

        Raises:
            InputError: an image has another shape or type, or is too small.
        """
        if isinstance(image, Sequence) and not isinstance(image, str):
            return [self(one) for one in image]
        check_image(image)
        size = image.shape[:2]
        fixed = self.runtime.size
        image = at_size(image, fixed) if fixed else reduced(image, self.short_side)
        return self.runtime(image[None], size)[0]

    def draw(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Draw the classes over the image.

        Args:
            image: (H, W, 3) uint8 RGB.
            labels: (H, W) uint8 class indices, as the predictor returns them.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            InputError: image and labels have other types or different sizes.
        """
        _check_array(image)
        if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.shape != image.shape[:2]:
            raise InputError(
                f"The labels are {_described(labels)}, but the image has {image.shape[0]}x{image.shape[1]} pixels; "
                "give (H, W) uint8 labels as the predictor returns them."
            )
        from regseg.inference.drawing import overlay

        return overlay(image, labels, self.spec)


def at_size(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Return an image (H, W, 3) as a contiguous array, resized bilinearly to ``size`` unless that is None."""
    if size is not None and image.shape[:2] != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image)


def reduced(image: np.ndarray, short_side: int | None) -> np.ndarray:
    """Return an image (H, W, 3) as a contiguous array, reduced as in an evaluation if its short side is larger."""
    if short_side is not None and min(image.shape[:2]) > short_side:
        image = resize_image(image, image.shape[:2], short_side)
    return np.ascontiguousarray(image)


def check_image(image: np.ndarray) -> None:
    """Check that an image is (H, W, 3) uint8 and large enough.

    Raises:
        InputError: it is not.
    """
    _check_array(image)
    if min(image.shape[:2]) < SMALLEST:
        raise InputError(
            f"An image has {image.shape[0]}x{image.shape[1]} pixels; give images of {SMALLEST}x{SMALLEST} or more."
        )


def _check_array(image: Any) -> None:
    fits = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    if not fits:
        raise InputError(f"An image is {_described(image)}; give a NumPy array (H, W, 3) uint8 RGB.")


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of the shape {value.shape} and the type {value.dtype}"
    return "None" if value is None else f"of the type {type(value).__name__}"
