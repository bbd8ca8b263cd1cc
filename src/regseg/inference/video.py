"""Labels videos frame by frame. Needs PyAV (``pip install 'regseg[video]'``)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.inference.drawing import overlay
from regseg.inference.pipeline import map_ahead
from regseg.inference.tiles import Labeller
from regseg.inference.video_reader import BT709, Frame, Video, require_av
from regseg.system.atomic import write_whole

Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (a frame, its labels) -> a picture of the same size
VIDEO_MODES = ("overlay", "color")


def video_outputs(out: Path, source: Path, save: Sequence[str]) -> dict[str, Path]:
    """Return the output file of each mode, ``<out>/<mode>/<name>.mp4``.

    Raises:
        InputError: a mode is for label files.
    """
    if wrong := [mode for mode in save if mode not in VIDEO_MODES]:
        raise InputError(
            f"save=[{wrong[0]}] is for images: videos are compressed, which changes label values; choose from "
            f"{', '.join(VIDEO_MODES)}."
        )
    return {mode: out / mode / f"{source.stem}.mp4" for mode in dict.fromkeys(save)}


def drawing(mode: str, spec: DatasetSpec, opacity: float) -> Draw:
    """Return the function that draws a frame and its labels: ``overlay`` or ``color``."""
    if mode == "color":
        return lambda pixels, labels: spec.colorize(labels)
    return lambda pixels, labels: overlay(pixels, labels, spec, opacity)


def predict_video(
    video: Video,
    labeller: Labeller,
    draw: Draw,
    target: Path,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Draw the labels of every frame into an H.264 video that browsers play.

    Decoding, the network and encoding run at the same time; memory does not grow with the length of the video. Size and
    times of the frames are kept; an odd width or height grows by one pixel. Rotated videos are written upright. Sound
    is dropped.

    Args:
        video: the video, which is read to its end.
        labeller: maps (H, W, 3) uint8 RGB to (H, W) uint8 class indices.
        draw: maps a frame and its labels to a picture of the same size.
        target: the .mp4 file, which is written atomically.
        advance: called after each frame.

    Raises:
        InputError: the video has no frame, or one that is too small.
        OSError: ``target`` cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        try:
            _encode_labelled(video, labeller, draw, Path(file.name), advance)
        except OSError as error:  # PyAV's own exceptions, which name the temporary file
            raise OSError(error.errno, error.strerror, str(target)) from error

    write_whole(target, write)


def _encode_labelled(video: Video, labeller: Labeller, draw: Draw, path: Path, advance: Callable[[], None]) -> None:
    """Write the video of `predict_video` to ``path``."""
    with (
        closing(Encoder(path, video)) as encoder,
        closing(_frames_ahead(video)) as frames,
        closing(
            map_ahead(
                lambda pair: encoder.add(pair[0]._replace(pixels=draw(pair[0].pixels, pair[1]))),
                _labelled(video, frames, labeller),
                workers=1,
            )
        ) as written,
    ):
        for _ in written:
            advance()
        encoder.finish()


def _labelled(video: Video, frames: Iterator[Frame], labeller: Labeller) -> Iterator[tuple[Frame, np.ndarray]]:
    for frame in frames:
        try:
            yield frame, labeller(frame.pixels)
        except InputError as error:
            raise InputError(f"{video.path}: {error}") from error


def _frames_ahead(video: Video) -> Generator[Frame, None, None]:
    """Yield the frames, decoded by another thread."""
    frames = video.frames()
    ahead = map_ahead(lambda _: next(frames, None), itertools.count(), workers=1)
    with closing(ahead):
        for frame in ahead:
            if frame is None:
                break
            yield frame


class Encoder:
    """An H.264 mp4 file. Its index is at the beginning, so that a browser can play it while it is loading.

    Args:
        path: path of the file; its suffix does not matter.
        video: provides the frame rate, the time base and the shape of pixels.
    """

    def __init__(self, path: Path, video: Video) -> None:
        self._video = video
        self._container = require_av().open(
            os.path.abspath(path), "w", format="mp4", options={"movflags": "+faststart"}
        )
        self._stream: Any = None
        self._packet: Any = None  # the one encoded last, which is written when the next one comes
        self._duration = 0  # of the frame added last

    def add(self, added: Frame) -> None:
        """Append a frame; all of them should have one size."""
        pixels, pts, self._duration = added
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:  # colour is stored for 2x2 pixels
            pixels = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        if self._stream is None:
            self._stream = self._open(pixels.shape[0], pixels.shape[1])
        elif (self._stream.height, self._stream.width) != pixels.shape[:2]:  # some streams change their size
            pixels = cv2.resize(pixels, (self._stream.width, self._stream.height), interpolation=cv2.INTER_AREA)
        frame = require_av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = pts, self._video.time_base
        self._write(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still buffers, and the index."""
        if self._stream is not None:
            self._write(self._stream.encode(None))
            # No frame follows the last one, so its duration must be set explicitly.
            self._packet.duration = round(self._duration * self._video.time_base / self._packet.time_base)
            self._container.mux(self._packet)
        self.close()

    def close(self) -> None:
        """Close the file; without a previous `finish`, the video is incomplete."""
        self._container.close()

    def _write(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            if self._packet is not None:
                self._container.mux(self._packet)
            self._packet = packet

    def _open(self, height: int, width: int) -> Any:
        # Without B-frames: they are written in another order, from which mp4 derives too short a video if frame times
        # are uneven.
        options = {"crf": "18", "preset": "veryfast", "bf": "0"}
        stream = self._container.add_stream("libx264", rate=self._video.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = self._video.time_base, self._video.pixel_aspect
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1  # 16 to 235
        return stream
