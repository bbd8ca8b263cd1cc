"""Class-uniform sampling, as facts of the author's release state it: tiles, centroids, and what an epoch draws."""

import hashlib
import io
import os
from collections import Counter

import cv2
import numpy as np
import pytest
from layouts import is_sentence, write_folder

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.folder import Folder
from regseg.data.sampling import centroids as class_uniform
from regseg.data.sampling.centroids import CentroidIndex, load_index, tile_centroids
from regseg.data.sampling.class_uniform import ClassUniformSampler
from regseg.data.sampling.epochs import stream
from regseg.errors import InputError


def by_hand(label, tile):
    """The definition, pixel by pixel."""
    found = []
    for top in range(0, label.shape[0], tile):
        for left in range(0, label.shape[1], tile):
            part = label[top : top + tile, left : left + tile]
            for number in sorted(set(part.ravel().tolist()) - {255}):
                rows, columns = np.nonzero(part == number)
                found.append((number, top + int(rows.mean()), left + int(columns.mean())))
    return found


@pytest.mark.parametrize(("shape", "tile"), [((20, 30), 10), ((23, 31), 10), ((8, 9), 10), ((40, 10), 16)])
def test_centroids_of_every_tile(shape, tile):
    rng = np.random.default_rng(0)
    blocks = rng.choice(np.array([0, 3, 254, 255], np.uint8), (-(-shape[0] // 4), -(-shape[1] // 4)))
    label = np.kron(blocks, np.ones((4, 4), np.uint8))[: shape[0], : shape[1]]
    assert tile_centroids(label, tile).tolist() == [list(row) for row in by_hand(label, tile)]


def test_a_label_without_classes_has_no_centroid():
    assert tile_centroids(np.full((5, 5), 255, np.uint8)).shape == (0, 3)


# 3 classes; the class 0 has 4 centroids, 1 has one, 2 none.
INDEX = CentroidIndex(np.array([(0, 0, 1, 1), (0, 1, 2, 2), (0, 2, 3, 3), (0, 3, 4, 4), (1, 5, 6, 7)], np.int32), 3)


def test_an_epoch_holds_n_draws_and_each_class_its_share():
    assert INDEX.absent == [2]
    for epoch in range(20):
        draws = ClassUniformSampler(INDEX, 0.5, 20, 0).requests(epoch, stream(0, epoch))
        around = [draw for draw in draws if draw.centroid]
        whole = [draw.index for draw in draws if not draw.centroid]
        # floor(0.5 * 20 / 3) = 3 a class; the absent one's are whole images
        assert len(draws) == 20 and len(whole) == len(set(whole)) == 20 - 2 * 3
        first = [(draw.index, draw.centroid) for draw in around if draw.index < 4]
        assert len(set(first)) == 3 and set(first) <= {(i, (i + 1, i + 1)) for i in range(4)}
        assert [(draw.index, draw.centroid) for draw in around if draw.index == 5] == [(5, (6, 7))] * 3  # starts over
        assert len({draw.key for draw in draws}) == 20 and {draw.epoch for draw in draws} == {epoch}


def test_a_class_with_too_few_centroids_gives_each_equally_often():
    index = CentroidIndex(np.array([(0, i, 0, 0) for i in range(3)], np.int32), 1)
    counts = Counter(
        draw.index for draw in ClassUniformSampler(index, 0.5, 16, 0).requests(0, stream(0)) if draw.centroid
    )
    assert sum(counts.values()) == 8 and set(counts.values()) == {2, 3}


def test_no_share_draws_every_image_once_and_all_draws_are_mixed():
    assert sorted(draw.index for draw in ClassUniformSampler(INDEX, 0.0, 9, 0).requests(0, stream(0))) == [*range(9)]
    first = [bool(ClassUniformSampler(INDEX, 0.5, 20, 0).requests(e, stream(0, e))[0].centroid) for e in range(200)]
    assert abs(np.mean(first) - 6 / 20) < 0.12


def test_ranks_share_class_uniform_draws():
    samplers = [ClassUniformSampler(INDEX, 0.5, 21, 0, 3, rank, 2) for rank in (0, 1)]
    parts = [list(sampler) for sampler in samplers]
    assert [len(part) for part in parts] == [10, 10] == [len(sampler) for sampler in samplers]
    assert len({draw.key for part in parts for draw in part}) == 20
    assert list(samplers[0]) == parts[0] != list(ClassUniformSampler(INDEX, 0.5, 21, 1, 3, 0, 2))


@pytest.fixture
def labels(tmp_path):
    return write_folder(tmp_path / "mine")


def index_of(root, **options):
    dataset = Folder(root)
    return load_index(dataset.samples("train"), dataset.spec, root, **options)


def test_the_index_is_built_once_and_again_when_a_label_changes(labels, monkeypatch):
    built, build = [], class_uniform.build_table
    monkeypatch.setattr(class_uniform, "build_table", lambda *args: built.append(1) or build(*args))
    first = index_of(labels)
    assert np.array_equal(index_of(labels).table, first.table) and len(built) == 1
    label = Folder(labels).samples("train")[0].label
    cv2.imwrite(str(label), np.zeros(cv2.imread(str(label), cv2.IMREAD_UNCHANGED).shape[:2], np.uint8))
    second = index_of(labels)
    assert len(built) == 2 and not np.array_equal(second.table, first.table)
    index_of(labels, tile=8)
    assert len(built) == 3
    (stored,) = (labels / ".regseg").glob("*.bin")
    stored.write_bytes(stored.read_bytes()[:50])  # damaged
    assert len(index_of(labels, tile=8).table) and len(built) == 4


def stored_index(root):
    (path,) = (root / ".regseg").glob("centroids-*.bin")
    return path


def rewrite(root, change):
    """Replace the rows of the stored index, with a checksum that fits."""
    content = stored_index(root).read_bytes()
    table = np.frombuffer(content[64:], "<i4").reshape(-1, 4).copy()
    rows = change(table).tobytes()
    stored_index(root).write_bytes(content[:32] + hashlib.sha256(rows).digest() + rows)


@pytest.mark.parametrize(("column", "value"), [(0, 2), (0, -1), (1, 4), (1, -1), (2, -1), (3, -5), (0, 2**31 - 1)])
def test_an_index_with_what_does_not_exist_is_built_anew(labels, column, value):
    good = index_of(labels).table

    def change(table):
        table[3, column] = value
        return table

    rewrite(labels, change)
    assert np.array_equal(index_of(labels).table, good)


def test_an_index_that_is_damaged_is_built_anew(labels):
    good = index_of(labels).table
    content = stored_index(labels).read_bytes()
    pickled, archive = io.BytesIO(), io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    np.savez_compressed(archive, key=np.zeros(1), table=np.zeros((1000, 4), np.int32))
    changed = content[:70] + bytes([content[70] ^ 1]) + content[71:]
    for damaged in (b"", b"a", content[:-1], content + b"a", changed, pickled.getvalue(), archive.getvalue()):
        stored_index(labels).write_bytes(damaged)
        assert np.array_equal(index_of(labels).table, good)
    stored_index(labels).unlink()
    os.mkfifo(labels / ".regseg" / "a")
    (labels / ".regseg" / "a").rename(labels / ".regseg" / stored_name(labels))
    assert np.array_equal(index_of(labels).table, good)


def stored_name(root):
    names = [path.name for path in (root / ".regseg").glob("centroids-*.lock")]
    return names[0].removesuffix(".lock")


def test_a_place_outside_its_label_is_refused_when_it_is_drawn(labels):
    index_of(labels)

    def change(table):
        table[:, 2] = 24  # the labels have 24 rows
        return table

    rewrite(labels, change)
    datamodule = SegmentationDataModule(
        "folder", labels, batch_size=2, crop_size=(8, 8), short_side=(20, 20), num_workers=0, class_uniform=1.0
    )
    datamodule.setup("fit")
    with pytest.raises(InputError) as error:
        list(datamodule.train_dataloader())
    assert is_sentence(error, "labels/train", "centroid index has the pixel (24, ", "centroids-*.bin", "delete")


def test_a_label_of_one_pixel_has_a_centroid():
    assert tile_centroids(np.full((1, 1), 3, np.uint8)).tolist() == [[3, 0, 0]]


def test_a_dataset_that_cannot_be_written_to_has_its_index_in_the_cache(labels, tmp_path, monkeypatch):
    (labels / ".regseg").write_text("a file where the folder would be")
    monkeypatch.setenv("REGSEG_CACHE", str(tmp_path / "cache"))
    index_of(labels)
    assert len(list((tmp_path / "cache").glob("mine-*/centroids-*.bin"))) == 1


def test_training_draws_crops_that_hold_the_class(labels, capsys):
    """From the configuration to the batch; a class that no label holds is named."""
    classes = "classes: [{name: ground, id: 0}, {name: wall, id: 1}, {name: unicorn, id: 77}]"
    (labels / "classes.yaml").write_text(classes)
    datamodule = SegmentationDataModule(
        "folder", labels, batch_size=2, crop_size=(8, 8), short_side=(20, 20), num_workers=0, class_uniform=1.0
    )
    datamodule.setup("fit")
    assert "no training label contains" in (out := capsys.readouterr().out) and "unicorn" in out
    sampler = datamodule.train_dataloader().sampler
    assert any(draw.centroid for draw in sampler)
    assert [draw.key for draw in sampler] == [draw.key for draw in datamodule.train_dataloader().sampler]
    batches = list(datamodule.train_dataloader())
    assert batches[0]["image"].shape == (2, 8, 8, 3)
