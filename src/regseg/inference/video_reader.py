"""Reads videos frame by frame. Needs PyAV (``pip install 'regseg[video]'``)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from regseg.errors import InputError, counted
from regseg.system.reading import file_status

if TYPE_CHECKING:
    import av

BT709, _BT601 = 1, 5  # colour matrices, by FFmpeg's numbers
_MATRICES = (BT709, 4, _BT601, 7, 9)  # those that PyAV converts
_HD = 720  # pixels of the shorter side; from this size on, BT.709 is the default colour matrix
_REORDERED = 16  # most frames that a decoder keeps back to put them in order
_AFTER_MARK = 3  # packets, with the one that FFmpeg marks as corrupt, among which time jumps where data is missing
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


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
        av = require_av()
        file_status(path)  # raises for what is missing or would block, such as a named pipe
        self.path, self._undecoded, self._turned, self._read = path, 0, False, Fraction(0)
        try:
            # FFmpeg takes 10:20.mp4 for a protocol and an address. Where the times of an MPEG transport stream start
            # again, it would add the 26 hours after which their counter overflows.
            self._container = av.open(os.path.abspath(path), options={"correct_ts_overflow": "0"})
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
        self._step = max(1, round(1 / self.rate / self.time_base))
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
        first, last, step = 0, -1, self._step  # `first` as in the file, `last` from 0
        recent: deque[int] = deque(maxlen=_REORDERED)  # as in the file
        for frame in self._decoded():
            pts = frame.pts if frame.pts is not None else recent[-1] + step if recent else 0
            if not recent:
                first = pts
            # Where data is missing, single frames come late. Where videos were joined by cat, times start again.
            elif pts < recent[-1] - step and pts <= min(recent):
                first = pts - last - step
                recent.clear()
            recent.append(pts)
            last = max(last + 1, pts - first)  # times must increase; some cameras repeat one
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
        return f"cannot be decoded in {counted(self._undecoded, 'place')}" if self._undecoded else None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width by height of a pixel of the upright frames, known after the first one."""
        aspect = Fraction(self._stream.sample_aspect_ratio or 1)
        return 1 / aspect if self._turned else aspect

    def _decoded(self) -> Iterator[av.VideoFrame]:
        error = require_av().error
        packets = self._container.demux(self._stream)
        before, doubtful = None, 0  # decoding time of the last packet, number of packets with which data may be missing
        while True:
            try:
                packet = next(packets)
                # FFmpeg also marks a packet where another file was appended by cat, but there, no time is skipped.
                doubtful = _AFTER_MARK if packet.is_corrupt else doubtful - 1
                if doubtful > 0 and self._skips_time(before, packet.dts):
                    self._undecoded, doubtful = self._undecoded + 1, 0
                before = packet.dts
                yield from packet.decode()
            except (StopIteration, error.EOFError):
                return
            except error.InvalidDataError:
                self._undecoded += 1
            except error.FFmpegError as failure:  # reading the file failed
                raise self._unreadable(failure.strerror) from failure

    def _skips_time(self, before: int | None, now: int | None) -> bool:
        """Return whether more than a frame is missing between two decoding times."""
        return before is not None and now is not None and now > before + 1.5 * self._step

    def _stated_seconds(self) -> Fraction:
        """Return the length that the file states; 0 if it states none."""
        if self._stream.duration:
            return self._stream.duration * self.time_base
        return Fraction(self._container.duration or 0, 1_000_000)

    def _unreadable(self, reason: str) -> InputError:
        return InputError(f"{self.path} is not a readable video ({reason.rstrip('.')}); choose another file.")


def _pixels(frame: av.VideoFrame) -> np.ndarray:
    """Return a frame as (H, W, 3) uint8 RGB, rotated upright."""
    matrix = frame.colorspace
    if matrix not in _MATRICES:
        matrix = BT709 if min(frame.height, frame.width) >= _HD else _BT601
    pixels = frame.to_ndarray(format="rgb24", src_colorspace=matrix, src_color_range=frame.color_range)
    turn = _TURNS.get(frame.rotation % 360)
    return pixels if turn is None else cv2.rotate(pixels, turn)


def require_av() -> Any:
    """Return the module of PyAV; InputError is raised if it is not installed."""
    try:
        import av
    except ImportError:
        raise InputError("Videos need a package that is not installed: pip install 'regseg[video]'") from None
    av.logging.set_level(None)  # our errors say in one sentence what FFmpeg would print
    return av
