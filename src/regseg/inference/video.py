"""Labels videos frame by frame. Needs PyAV (``pip install 'regseg[video]'``)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from regseg.data.datasets.spec import DatasetSpec
from regseg.errors import InputError
from regseg.inference.drawing import overlay
from regseg.inference.pipeline import map_ahead
from regseg.inference.tiles import Labeller
from regseg.system.atomic import write_whole
from regseg.system.reading import file_status

if TYPE_CHECKING:
    import av

Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (a frame, its labels) -> a picture of the same size
VIDEO_MODES = ("overlay", "color")
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_BT709, _BT601 = 1, 5  # colour matrices, by FFmpeg's numbers
_MATRICES = (_BT709, 4, _BT601, 7, 9)  # those that PyAV converts
_HD = 720  # pixels of the shorter side; from this size on, BT.709 is the default colour matrix


class Frame(NamedTuple):
    """A frame of a video, upright.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        pts: when it is shown, in units of the video's time base, from 0 for the first.
        duration: how long it is shown, in the same units, as far as the file states it; other frames may follow sooner.
    """

    pixels: np.ndarray
    pts: int
    duration: int


class Video:
    """A video file that is read once, frame by frame. Use it as a context manager.

    Args:
        path: path of the file.

    Attributes:
        rate: frames per second, on average.
        time_base: seconds per unit of `Frame.pts`.
        count: number of frames stated by the file, or an estimate; None if it states nothing.
        has_sound: whether there is an audio track.

    Raises:
        InputError: PyAV is not installed, or the file is missing or not a readable video.
    """

    def __init__(self, path: Path) -> None:
        av = _av()
        file_status(path)  # raises for what is missing or would block, such as a named pipe
        self.path, self._undecoded, self._turned, self._read = path, 0, False, Fraction(0)
        try:
            self._container = av.open(os.path.abspath(path))  # FFmpeg takes 10:20.mp4 for a protocol and an address
        except (av.error.FFmpegError, UnicodeError) as error:
            raise self._unreadable(getattr(error, "strerror", None) or str(error)) from error
        if not self._container.streams.video:
            self._container.close()
            raise self._unreadable("it has no video track")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.time_base = Fraction(self._stream.time_base or 1 / self.rate)
        self.has_sound = bool(self._container.streams.audio)
        self._seconds = self._stated_seconds()
        self.count = self._stream.frames or round(self._seconds * self.rate) or None

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order in which they are shown, without those that cannot be decoded; see `damage`.

        Raises:
            InputError: not a single frame can be decoded.
        """
        first, last = None, -1
        step = max(1, round(1 / self.rate / self.time_base))
        for frame in self._decoded():
            first = frame.pts or 0 if first is None else first
            pts = last + step if frame.pts is None and last >= 0 else (frame.pts or 0) - first
            last = max(last + 1, pts)  # times must increase; some cameras repeat one
            duration = frame.duration or step
            self._turned, self._read = frame.rotation % 180 != 0, (last + duration) * self.time_base
            yield Frame(_pixels(frame), last, duration)
        if last < 0:
            raise self._unreadable("not a single frame can be decoded")

    @property
    def damage(self) -> str | None:
        """What could not be read of the video, as the end of a sentence; None if all was read. Valid after `frames`."""
        seconds = float(self._seconds)
        slack = 2.0 if self.has_sound and not self._stream.duration else min(2.0, seconds / 4)  # sound may be longer
        if seconds - self._read > max(slack, seconds / 10):
            return f"ends after {float(self._read):.3g} of {seconds:.3g} seconds"
        return f"cannot be decoded in {self._undecoded} place{'s' * (self._undecoded > 1)}" if self._undecoded else None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width by height of a pixel of the upright frames, known after the first one."""
        aspect = Fraction(self._stream.sample_aspect_ratio or 1)
        return 1 / aspect if self._turned else aspect

    def _decoded(self) -> Iterator[av.VideoFrame]:
        error = _av().error
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                yield from packet.decode()
            except (StopIteration, error.EOFError):
                return
            except error.InvalidDataError:
                self._undecoded += 1
            except error.FFmpegError as failure:  # reading the file failed
                raise self._unreadable(failure.strerror) from failure

    def _stated_seconds(self) -> Fraction:
        """Return the length that the file states; 0 if it states none."""
        if self._stream.duration:
            return self._stream.duration * self.time_base
        return Fraction(self._container.duration or 0, 1_000_000)

    def _unreadable(self, reason: str) -> InputError:
        return InputError(f"{self.path} is not a readable video ({reason.rstrip('.')}); choose another file.")


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
    times of the frames are kept, an odd width or height grows by one pixel. Rotated videos are written upright. Sound
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
        self._container = _av().open(os.path.abspath(path), "w", format="mp4", options={"movflags": "+faststart"})
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
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = pts, self._video.time_base
        self._write(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still buffers, and the index."""
        if self._stream is not None:
            self._write(self._stream.encode(None))
            # Of the last one, no following frame tells how long it is shown.
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
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # 16 to 235
        return stream


def _pixels(frame: av.VideoFrame) -> np.ndarray:
    """Return a frame as (H, W, 3) uint8 RGB, rotated upright."""
    matrix = frame.colorspace
    if matrix not in _MATRICES:
        matrix = _BT709 if min(frame.height, frame.width) >= _HD else _BT601
    pixels = frame.to_ndarray(format="rgb24", src_colorspace=matrix, src_color_range=frame.color_range)
    turn = _TURNS.get(frame.rotation % 360)
    return pixels if turn is None else cv2.rotate(pixels, turn)


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise InputError("Videos need a package that is not installed: pip install 'regseg[video]'") from None
    av.logging.set_level(None)  # our errors say in one sentence what FFmpeg would print
    return av
