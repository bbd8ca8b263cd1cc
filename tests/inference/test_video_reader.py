"""Videos that are damaged or cannot be read."""

from fractions import Fraction

import numpy as np
import pytest
from layouts import is_sentence
from videos import write_damaged_video, write_video

from regseg.errors import InputError
from regseg.inference.video_reader import Video

av = pytest.importorskip("av")


def test_a_damaged_video_is_read_as_far_as_possible_and_reported(tmp_path):
    path, data, damaged = write_damaged_video(tmp_path / "damaged.mkv")
    half = len(data) // 2
    for content, words in ((data, None), (damaged, "cannot be decoded in 1 place"), (data[:half], "of 20 seconds")):
        path.write_bytes(content)
        with Video(path) as video:
            count = len(list(video.frames()))
            assert (count == 40) == (words is None) and count > 5
            assert video.damage is None if words is None else words in str(video.damage)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x00\x00\x00\x18ftypmp42" + bytes(100), None])
def test_an_unreadable_video_is_one_sentence(tmp_path, content):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        Video(path)
    assert is_sentence(error, path)


def test_a_video_without_pictures_is_one_sentence(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        track = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(track.encode(silence))
        container.mux(track.encode(None))
    with pytest.raises(InputError) as error:
        Video(tmp_path / "sound.mp4")
    assert is_sentence(error, "sound.mp4", "no video track")


def test_pyav_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError) as error:
        Video(tmp_path / "a.mp4")
    assert is_sentence(error, "pip install 'regseg[video]'")


@pytest.mark.parametrize("start", [0, 100_000])
def test_times_that_start_again_continue(tmp_path, start):
    """In parts that were joined by cat; the second one may start earlier than the first by a minute or more."""
    parts = [
        write_video(tmp_path / f"{number}.ts", frames=5, rate=Fraction(25), times=[begin + 40 * n for n in range(5)])
        for number, begin in enumerate((start, 0))
    ]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    with Video(tmp_path / "joined.ts") as video:
        times = [float(frame.pts * video.time_base) for frame in video.frames()]
        assert times == pytest.approx([0.04 * number for number in range(10)]) and video.damage is None


def test_missing_data_in_a_stream_is_reported_and_shifts_no_frame(tmp_path):
    """After the gap, a frame from before it comes late, which looks like times that start again."""
    data = write_video(tmp_path / "a.ts", frames=100, rate=Fraction(25), size=(96, 128)).read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    for start, lost in ((0.4, 37), (0.3, 5), (0.5, 53)):  # the file counts them modulo 16
        first = round(start * len(packets))
        (tmp_path / "gap.ts").write_bytes(b"".join(packets[:first] + packets[first + lost :]))
        with Video(tmp_path / "gap.ts") as video:
            times = [float(frame.pts * video.time_base) for frame in video.frames()]
            assert len(times) < 100 and "cannot be decoded in" in str(video.damage)
            assert times[-1] == pytest.approx(3.96, abs=0.05) and times == sorted(set(times))
