"""From images to class indices, by any runtime."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np

from regseg.data.augment.crop_resize import resize_image
from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError, check_number
from regseg.inference.runtimes import Runtime, open_runtime
from regseg.system.weights_files import resolve_weights

SMALLEST = 32  # pixels of an image's shorter side: the networks divide it by 16 or more


class Predictor:
    """A network that labels images.

        predictor = regseg.Predictor("camvid_360")
        labels = predictor(image)

    Several threads may call it at once. A copy in another process, through pickle, opens the weights again, once per
    process as long as the file does not change: `multiprocessing.Pool.map` pickles its function for every chunk.

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
        self._weights = str(weights)
        path = resolve_weights(weights)
        self.runtime: Runtime = open_runtime(path, runtime, precision, device)
        if self.runtime.size and isinstance(short_side, int):
            height, width = self.runtime.size
            raise InputError(
                f"{weights} accepts only images that are {height} pixels high and {width} wide; leave short_side out."
            )
        self._arguments, self._path = (weights, runtime, precision, device, short_side), path
        recorded = None if self.runtime.size else self.runtime.short_side  # images of one size are not reduced
        self.short_side = recorded if isinstance(short_side, str) else short_side

    def __reduce__(self) -> tuple[Any, ...]:
        return _copy, (type(self), self._arguments, self._path)

    @property
    def spec(self) -> DatasetSpec:
        """The dataset's classes, in the order of the indices in labels.

        - ``spec.classes``: their names; ``spec.classes[label]`` is the name of one.
        - ``spec.colors``: their RGB colours; ``spec.colorize(labels)`` is a picture (H, W, 3) uint8 of labels.
        - ``spec.num_classes``: their number; ``spec.name``: the name of the dataset.
        - ``spec.ids``: value in the dataset's label files -> class index; ``spec.excluded``: see reduced mIoU.
        """
        return self.runtime.spec

    def __repr__(self) -> str:
        """Return what it is, such as ``<Predictor camvid_360: 11 classes of camvid, openvino in f32, …>``."""
        runtime, spec = self.runtime, self.spec
        size = f"size={list(runtime.size)}" if runtime.size else f"short_side={self.short_side}"
        classes = f"{spec.num_classes} classes of {spec.name}"
        return f"<Predictor {self._weights}: {classes}, {runtime.name} in {runtime.precision}, {size}>"

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
        if isinstance(image, Sequence):
            return [self._labels(one) for one in image]
        return self._labels(image)

    def _labels(self, image: np.ndarray) -> np.ndarray:
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
            InputError: the labels are not those of an image of this size.
        """
        from regseg.inference.drawing import overlay

        check_pixels(image)
        check_labels(labels, image)
        return overlay(image, labels, self.spec)


def _copy(kind: Callable[..., Predictor], arguments: tuple[Any, ...], path: Path) -> Predictor:
    """Return a predictor of the weights in ``path``, which `Predictor.__reduce__` describes."""
    try:
        status = os.stat(path)
    except OSError:
        return _opened.__wrapped__(kind, arguments, None)  # it moved within a run's folder, or this is an error
    return _opened(kind, arguments, (str(path), status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=1)
def _opened(
    kind: Callable[..., Predictor], arguments: tuple[Any, ...], state: tuple[str, int, int] | None
) -> Predictor:
    """Return a new predictor; the last one is kept for the same arguments and ``state`` of the file."""
    *others, short_side = arguments
    return kind(*others, short_side=short_side)


def at_size(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Return an image (H, W, 3) as a contiguous array, resized bilinearly to ``size`` unless that is None."""
    if size is not None and image.shape[:2] != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return _usable(image)


def reduced(image: np.ndarray, short_side: int | None) -> np.ndarray:
    """Return an image (H, W, 3) as a contiguous array, reduced as in an evaluation if its short side is larger."""
    if short_side is not None and min(image.shape[:2]) > short_side:
        image = resize_image(image, image.shape[:2], short_side)
    return _usable(image)


def _usable(image: np.ndarray) -> np.ndarray:
    """Return an array that every runtime shares without a copy; PyTorch warns about read-only ones, as Pillow's are."""
    return np.require(image, requirements=["C_CONTIGUOUS", "WRITEABLE"])


def check_image(image: object) -> None:
    """Check that an image is an array (H, W, 3) uint8 and large enough.

    Raises:
        InputError: it is not.
    """
    height, width = check_pixels(image)
    if min(height, width) < SMALLEST:
        raise InputError(
            f"An image is {height} pixels high and {width} wide; give images of at least {SMALLEST}x{SMALLEST}."
        )


def check_pixels(image: object) -> tuple[int, int]:
    """Return the (height, width) of an array (H, W, 3) uint8.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(image, np.ndarray):
        kind = f"{type(image).__module__}.{type(image).__name__}".removeprefix("builtins.")
        raise InputError(f"An image is of the type {kind}; give a NumPy array (H, W, 3) uint8 RGB.")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"An image has the shape {image.shape} and the type {image.dtype}; give (H, W, 3) uint8 RGB.")
    return image.shape[0], image.shape[1]


def check_labels(labels: object, image: np.ndarray) -> None:
    """Check that labels are an array (H, W) uint8 of an image's size.

    Raises:
        InputError: they are not.
    """
    shape, dtype = getattr(labels, "shape", None), getattr(labels, "dtype", type(labels).__name__)
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or shape != image.shape[:2]:
        raise InputError(
            f"The labels have the shape {shape} and the type {dtype}; for this image, give "
            f"({image.shape[0]}, {image.shape[1]}) uint8 class indices."
        )
