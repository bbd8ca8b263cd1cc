"""From images to class indices, by any runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.inference.runtimes import Runtime, open_runtime

SMALLEST = 32  # pixels of an image's shorter side: the networks divide it by 16 or more


class Predictor:
    """A network that labels images.

        predictor = regseg.Predictor("runs/demo/run_seed0")
        labels = predictor(image)

    Args:
        weights: a checkpoint, a run's folder, or an exported file (.onnx, .xml, .safetensors).
        runtime: ``auto``, ``torch``, ``onnxruntime`` or ``openvino``. ``auto`` picks the fastest that is installed.
        precision: ``auto``, ``f32``, ``bf16`` or, on a GPU, ``f16``. ``auto`` takes float16 on a GPU, and
            bfloat16 on a processor where that is faster.
        device: ``auto``, ``cpu`` or, with the torch runtime, a device such as ``cuda:0``.

    Attributes:
        runtime: the runtime that was opened.

    Raises:
        InputError: the file is missing, damaged or of another project, or a package is missing.
    """

    def __init__(
        self, weights: str | Path, runtime: str = "auto", precision: str = "auto", device: str = "auto"
    ) -> None:
        self.runtime: Runtime = open_runtime(weights, runtime, precision, device)

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
            image: (H, W, 3) uint8 RGB, height and width from 32 up; or a sequence of such images of any sizes.

        Returns:
            (H, W) uint8 class indices at the image's size; or a list of them.

        Raises:
            InputError: an image has another shape or type, or is too small.
        """
        if not isinstance(image, np.ndarray):
            return [self(one) for one in image]
        check_image(image)
        size = image.shape[:2]
        return self.runtime(at_size(image, self.runtime.size)[None], size)[0]

    def draw(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Draw the classes over the image.

        Args:
            image: (H, W, 3) uint8 RGB.
            labels: (H, W) uint8 class indices, as the predictor gives them.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        from regseg.inference.drawing import overlay

        return overlay(image, labels, self.spec)


def at_size(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Return an image (H, W, 3) as a contiguous array, resized bilinearly to ``size`` unless that is None."""
    if size is not None and image.shape[:2] != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image)


def check_image(image: np.ndarray) -> None:
    """Check that an image is (H, W, 3) uint8 and large enough.

    Raises:
        InputError: it is not.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"An image has the shape {image.shape} and the type {image.dtype}; give (H, W, 3) uint8 RGB.")
    if min(image.shape[:2]) < SMALLEST:
        raise InputError(
            f"An image has {image.shape[0]}x{image.shape[1]} pixels; give images of {SMALLEST}x{SMALLEST} or more."
        )
