"""The progress of a prediction."""

import pytest

from regseg.inference import progress
from regseg.inference.progress import Counter


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the clock shows, as a list of one value."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_rate_and_time_left(clock):
    with Counter(500) as counter:
        assert counter.text() == "0 of 500 images, 0.0 images/s, unknown time left"
        for _ in range(120):
            counter.advance()
        clock[0] += 10
        assert counter.text() == "120 of 500 images, 12.0 images/s, 32 s left"
        assert counter.summary() == "120 images in 10 s (12.0 images/s)"


def test_an_unknown_total_and_a_single_image(clock):
    with Counter(None, "frames") as counter:
        counter.advance()
        clock[0] += 2
        assert counter.text() == "1 frame, 0.5 frames/s" and counter.summary() == "1 frame in 2 s (0.5 frames/s)"


def test_more_images_than_expected(clock):
    with Counter(2, "frames") as counter:
        clock[0] += 2
        for text in ("1 of 2 frames, 0.5 frames/s, 2 s left", "2 of 2 frames, 1.0 frames/s, 0 s left"):
            counter.advance()
            assert counter.text() == text
        counter.advance()
        assert counter.text() == "3 frames, 1.5 frames/s"


def test_without_a_terminal_a_line_is_printed_every_half_minute(clock, capsys):
    with Counter(10) as counter:
        for _ in range(5):
            clock[0] += 20
            counter.advance()
    assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "2 of 10 images",
        "4 of 10 images",
    ]
