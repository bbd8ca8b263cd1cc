"""Videos made with PyAV, labelled and read back."""

import errno
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from layouts import is_sentence, pipeline_threads
from videos import write_video

from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.inference import video_reader
from regseg.inference.video import Encoder, drawing, predict_video, video_outputs
from regseg.inference.video_reader import Video

av = pytest.importorskip("av")


def zeros(image):
    return np.zeros(image.shape[:2], np.uint8)


def unchanged(image, labels):
    return image


def through(path, draw=unchanged, labeller=zeros):
    """The video of ``path`` after `predict_video`: (path, frames that were counted)."""
    count = []
    with Video(path) as video:
        predict_video(video, labeller, draw, path.with_name("result.mp4"), lambda: count.append(1))
    return path.with_name("result.mp4"), len(count)


def frames_of(path):
    """(frames as float arrays, seconds at which each is shown)."""
    with Video(path) as video:
        frames = list(video.frames())
        return [frame.pixels.astype(float) for frame in frames], [
            float(frame.pts * video.time_base) for frame in frames
        ]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "plain.mp4"},
        {"name": "sound.mov", "sound": True},
        {"name": "turned.mp4", "rotation": 90},
        {"name": "upside_down.mp4", "rotation": 180},
        {"name": "variable.mkv", "times": [0, 10, 100, 130, 135, 400, 401, 500, 900, 901, 902, 2500]},
        {"name": "odd.mkv", "size": (49, 65), "codec": "ffv1", "pixels": "bgr0"},
        {"name": "full_range.avi", "codec": "mjpeg", "pixels": "yuvj420p"},
        {"name": "hd.mp4", "size": (720, 1280), "frames": 3, "rate": Fraction(25)},
    ],
    ids=lambda options: options["name"],
)
def test_frames_times_size_and_colours_are_kept(tmp_path, options):
    path = write_video(tmp_path / options.pop("name"), **options)
    result, count = through(path)
    (before, times), (after, new_times) = frames_of(path), frames_of(result)
    assert len(before) == len(after) == count == options.get("frames", 12)
    assert np.allclose(times, new_times, atol=1e-4)
    height, width = before[0].shape[:2]
    assert after[0].shape == (height + height % 2, width + width % 2, 3)  # odd sizes cannot be stored
    for one, other in zip(before, after, strict=True):
        assert np.abs(one - other[:height, :width]).mean() < 4
    with av.open(str(result)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p") and not container.streams.audio
        assert stream.frames == count
        if "times" not in options and path.suffix != ".mkv":  # whose times are whole milliseconds
            assert stream.average_rate == options.get("rate", Fraction(30000, 1001))
        assert abs(seconds_of(result) - seconds_of(path)) < 2e-3  # players stop there
    data = result.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")  # a browser can play it while it is loading


def seconds_of(path):
    """The length that a file states."""
    with av.open(str(path)) as container:
        return container.duration / 1e6


def test_the_last_frame_is_shown_as_long_as_before(tmp_path):
    """Slides, of which the last lasts five seconds: nothing is missing, and the result is as long."""
    options = {"codec": "ffv1", "pixels": "bgr0", "frames": 3, "times": [0, 3000, 6000], "last": 5000}
    path = write_video(tmp_path / "slides.mkv", **options)
    with Video(path) as video:
        assert len(list(video.frames())) == 3 and video.damage is None
    result, _ = through(path)
    assert seconds_of(path) == seconds_of(result) == 11


def test_a_short_video_that_is_cut_off_is_damaged(tmp_path):
    """1.2 seconds with the index in front, as a download that stopped: every frame found can be decoded."""
    rng, path = np.random.default_rng(0), write_video(tmp_path / "a.mp4", frames=30, rate=Fraction(25))
    result, _ = through(path, draw=lambda image, _: rng.integers(0, 256, image.shape, np.uint8))
    data = result.read_bytes()
    for share, damaged in ((0.4, True), (0.6, True), (1, False)):
        result.write_bytes(data[: int(share * len(data))])
        with Video(result) as video:
            assert len(list(video.frames())) > 3
            assert (video.damage is not None) == damaged, share


@pytest.mark.parametrize(
    ("seconds", "sound", "read"),  # of which the smallest part that is still whole is read
    [(4, False, 3), (8, False, 6), (16, False, 14), (30, False, 27), (4, True, 2), (8, True, 6), (30, True, 27)],
)
def test_how_much_may_be_missing(seconds, sound, read):
    """A quarter, in a longer video 2 seconds and then a tenth; 2 seconds if sound sets the length."""
    video = Video.__new__(Video)
    video._seconds, video._undecoded, video.has_sound = Fraction(seconds), 0, sound
    video._stream = SimpleNamespace(duration=None if sound else seconds)
    video._read = Fraction(read)
    assert video.damage is None
    video._read -= Fraction(1, 100)
    assert video.damage is not None


def test_a_name_that_ffmpeg_takes_for_an_address(tmp_path, monkeypatch):
    write_video(tmp_path / "10:20.mp4")
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path)
    with Video(Path("10:20.mp4")) as video:
        predict_video(video, zeros, unchanged, Path("a:b/11:30.mp4"))
    assert len(frames_of(Path("a:b/11:30.mp4"))[0]) == 12


def test_the_network_sees_upright_frames(tmp_path):
    """A camera that was held upright stores lying frames and the angle by which to turn them counterclockwise."""
    path = write_video(tmp_path / "turned.mp4", rotation=90, aspect=Fraction(4, 3))
    seen = []
    result, _ = through(path, labeller=lambda image: (seen.append(image), zeros(image))[1])
    assert seen[0].shape == (64, 48, 3)
    assert seen[0][60, 24, 0] > 150 and seen[0][4, 4, 2] > 150  # red was left, now below; blue was right above
    with av.open(str(result)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(3, 4)
        assert next(container.decode(video=0)).rotation == 0


def test_labels_are_drawn(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    result, _ = through(path, draw=drawing("color", SPEC, 0.5), labeller=lambda image: zeros(image) + 10)
    assert np.abs(frames_of(result)[0][5] - SPEC.colors[10]).max() < 8
    result, _ = through(path, draw=drawing("overlay", SPEC, 0.5), labeller=lambda image: zeros(image) + 10)
    expected = frames_of(path)[0][5] / 2 + np.array(SPEC.colors[10]) / 2
    assert np.abs(frames_of(result)[0][5] - expected).mean() < 4


def test_decoding_stays_a_few_frames_ahead(tmp_path, monkeypatch):
    path = write_video(tmp_path / "long.mp4", frames=60)
    decoded, added = [], []
    pixels, add = video_reader._pixels, Encoder.add
    monkeypatch.setattr(video_reader, "_pixels", lambda frame: (decoded.append(1), pixels(frame))[1])
    monkeypatch.setattr(Encoder, "add", lambda self, *frame: (added.append(1), add(self, *frame))[1])

    def labeller(image):
        assert len(decoded) - len(added) <= 6
        return zeros(image)

    assert through(path, labeller=labeller)[1] == 60


def test_a_failure_leaves_nothing_behind(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=30)

    def fails(image, labels, count=[]):  # noqa: B006
        count.append(1)
        if len(count) == 9:
            raise OSError(errno.ENOSPC, "No space left on device", "result.mp4")
        return image

    def refuses(image):
        raise InputError("An image is too small")

    def fails_as_pyav_does(image, labels):
        raise av.error.OSError(errno.ENOSPC, "No space left on device", "temporary")

    cases = [(fails, zeros, OSError), (fails_as_pyav_does, zeros, OSError), (unchanged, refuses, InputError)]
    for draw, labeller, kind in cases:
        with pytest.raises(kind) as error:
            through(path, draw, labeller)
        assert kind is InputError or error.value.filename == str(tmp_path / "result.mp4")
        assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"] and pipeline_threads() == 0


def test_label_files_are_for_images(tmp_path):
    assert video_outputs(tmp_path, tmp_path / "a.b.mov", ["color", "overlay"]) == {
        "color": tmp_path / "color" / "a.b.mp4",
        "overlay": tmp_path / "overlay" / "a.b.mp4",
    }
    with pytest.raises(InputError) as error:
        video_outputs(tmp_path, tmp_path / "a.mov", ["overlay", "index"])
    assert is_sentence(error, "save=[index]", "overlay, color")
