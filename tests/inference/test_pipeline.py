import errno
import threading
import time
import weakref
from contextlib import closing

import numpy as np
import pytest
from layouts import noise, pipeline_threads, write

from regseg.errors import InputError
from regseg.inference.pipeline import map_ahead, predict_images
from regseg.inference.sources import Item


@pytest.fixture
def items(tmp_path):
    found = []
    for number in range(6):
        path = write(tmp_path / f"{number}.png", noise(number))
        found.append(Item(path, path.relative_to(tmp_path).with_suffix("")))
    return found


def test_results_come_in_order_with_a_bounded_number_ahead():
    taken = []
    done = []

    def items():
        for number in range(30):
            taken.append(number)
            assert len(taken) - len(done) <= 4  # 3 workers and one more
            yield number

    for result in map_ahead(lambda number: (time.sleep(0.002 * (number % 3)), number)[1], items(), 3):
        done.append(result)
    assert done == list(range(30))


def test_work_stops_when_its_consumer_does():
    started = []
    with closing(map_ahead(lambda number: started.append(number), range(100), 2)) as results:
        next(results)
    assert len(started) <= 3 and pipeline_threads() == 0


def test_a_thread_that_the_pool_does_not_know_is_waited_for(monkeypatch):
    """An exception of a signal handler while a thread starts: the pool has its work, but would not join it."""
    started, ended = threading.Event(), []
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        if thread.name.startswith("regseg-pipeline"):
            assert started.wait(10)
            raise KeyboardInterrupt

    def work(item):
        started.set()
        time.sleep(0.2)
        ended.append(item)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), closing(map_ahead(work, range(9), 1)) as results:
        next(results)
    assert ended == [0]


def test_reading_network_and_writing_run_at_the_same_time(items, monkeypatch):
    """Each stage waits until the others work on other images."""
    busy = {"read": threading.Event(), "write": threading.Event()}

    def read(path):
        if path.stem == "3":
            busy["read"].set()
        return noise(0)

    def labeller(image):
        seen.append(1)
        if len(seen) == 2:  # of image 1: those ahead are being read
            assert busy["read"].wait(10)
        if len(seen) == 3:
            assert busy["write"].wait(10)
        return image[..., 0]

    seen = []
    monkeypatch.setattr("regseg.inference.pipeline.read_image", read)
    count = []
    assert predict_images(items, labeller, lambda *_: busy["write"].set(), lambda: count.append(1), workers=2) == []
    assert len(count) == 6


def test_what_cannot_be_read_or_labelled_is_named_and_the_rest_is_written(items, capsys):
    items[1].path.write_bytes(b"no image")
    items[2].path.unlink()
    written, count = [], []

    def labeller(image):
        if (image == noise(3)).all():
            raise InputError("An image has 24x32 pixels; give more.")
        if (image == noise(4)).all():
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return image[..., 0]

    failures = predict_images(items, labeller, lambda item, *_: written.append(item), lambda: count.append(1))
    assert [item.name.name for item in written] == ["0", "5"] and len(count) == 6
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"regseg: {sentence}" for sentence in failures] and len(lines) == 4
    for line, item, word in zip(lines, items[1:5], ("readable", "cannot be read", "24x32", "tile="), strict=True):
        assert str(item.path) in line and word in line


def test_a_defect_of_the_network_ends_it(items):
    with pytest.raises(RuntimeError, match="shape"):
        predict_images(items, lambda image: (_ for _ in ()).throw(RuntimeError("shape")), print, print)
    assert pipeline_threads() == 0


def test_a_full_disk_ends_it(items):
    def write(item, image, labels):
        raise OSError(errno.ENOSPC, "No space left on device", str(item.name))

    labelled = []
    with pytest.raises(OSError, match="No space"):
        predict_images(items * 5, lambda image: labelled.append(1) or image[..., 0], write, print, workers=2)
    assert len(labelled) <= 5 and pipeline_threads() == 0


def test_pixels_are_released(items, monkeypatch):
    """No more images are alive than the queues hold, however many there are."""
    alive, most = set(), []

    def read(path):
        image = noise(0).copy()
        number = len(most), len(alive), time.perf_counter_ns()
        alive.add(number)
        weakref.finalize(image, alive.discard, number)
        return image

    def labeller(image):
        return np.zeros(image.shape[:2], np.uint8)

    monkeypatch.setattr("regseg.inference.pipeline.read_image", read)
    predict_images(items * 20, labeller, lambda *_: None, lambda: most.append(len(alive)), workers=2)
    assert len(most) == 120 and max(most) <= 8


def test_an_image_whose_outputs_cannot_be_encoded_is_named(items, capsys):
    written = []

    def write(item, image, labels):
        if item is items[2]:
            raise InputError("A picture of 65536x2 pixels cannot be a jpg")
        written.append(item)

    failures = predict_images(items, lambda image: image[..., 0], write, lambda: None)
    assert failures == [f"{items[2].path}: A picture of 65536x2 pixels cannot be a jpg."]
    assert failures[0] in capsys.readouterr().err and len(written) == len(items) - 1
