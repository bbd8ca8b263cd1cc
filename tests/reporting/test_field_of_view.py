"""The figure of the field of view."""

import errno

import cv2
import pytest

import regseg
from regseg.models.summary import noise_images
from regseg.reporting.field_of_view import draw_field_of_view


@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_figure_is_written(count, tmp_path):
    pytest.importorskip("matplotlib")
    models = {f"{rate}": regseg.create_model(backbone=[[1], [1, rate]]) for rate in range(2, 1 + count)}
    models["DDRNet-23"] = regseg.create_model("ddrnet23")
    path = draw_field_of_view(models, tmp_path / "new" / "seen.png", images=noise_images((64, 128), 1))
    pixels = cv2.imread(str(path))
    assert pixels.shape[1] == 1440 and pixels.shape[0] > 600
    assert pixels.std() > 25  # not blank


def test_a_picture_that_fails_leaves_the_earlier_one(tmp_path, monkeypatch):
    def fail(figure, file, **options):
        file.write(b"half a picture")
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    path = tmp_path / "picture.png"
    path.write_bytes(b"earlier")
    with pytest.raises(OSError, match="disk full"):
        draw_field_of_view({"network": regseg.create_model(num_classes=3)}, path, size=(64, 64))
    assert path.read_bytes() == b"earlier" and [file.name for file in tmp_path.iterdir()] == ["picture.png"]
