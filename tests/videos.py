"""Videos made with PyAV."""

from fractions import Fraction

import numpy as np


def write_video(
    path, frames=12, size=(48, 64), codec="libx264", pixels="yuv420p", rate=Fraction(30000, 1001), rotation=0,
    aspect=None, times=None, sound=False, last=None,
):  # fmt: skip
    """Red on the left, and a blue on the right that changes its green from frame to frame; the top differs."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        track = container.add_stream("aac", rate=8000) if sound else None
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            picture = np.zeros((*size, 3), np.uint8)
            picture[:, : size[1] // 2] = 200, 40, 40
            picture[: size[0] // 2, size[1] // 2 :] = 40, 10 * number % 250, 200
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            packets = stream.encode(frame)
            if last and number == frames - 1:  # milliseconds for which it is shown, with a codec that waits for none
                packets[0].duration = last
            container.mux(packets)
        container.mux(stream.encode(None))
        if track is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 8000
            container.mux(track.encode(silence))
            container.mux(track.encode(None))
    return path


def write_damaged_video(path):
    """A video of 20 seconds that cannot be decoded in one place; (path, the intact bytes, the damaged ones)."""
    options = {"codec": "ffv1", "pixels": "bgr0", "frames": 40, "rate": Fraction(2), "size": (96, 128)}
    intact = write_video(path, **options).read_bytes()
    half = len(intact) // 2
    damaged = intact[:half] + bytes(300) + intact[half + 300 :]
    path.write_bytes(damaged)
    return path, intact, damaged
