import os
from itertools import chain

import pytest
from layouts import is_sentence, noise, write

from regseg.errors import InputError
from regseg.inference.out_folder import Origin, enter
from regseg.inference.sources import find_images, is_video, shard_of


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.jpg", "trip/c.png", "trip/far/d.PNG"):
        write(tmp_path / "photos" / name, noise(0))
    (tmp_path / "photos" / "notes.txt").write_text("nothing")
    (tmp_path / "photos" / ".hidden.png").touch()
    return tmp_path / "photos"


def names(source, out="out"):
    from pathlib import Path

    return [str(item.name) for item in find_images(source, Path(out))]


def test_a_folder_keeps_its_subfolders(photos):
    assert names("photos") == ["a", "b", "trip/c", "trip/far/d"]
    assert names(photos) == names("photos/")


@pytest.mark.parametrize(("typed", "meant"), [("b.PNG", "b.png"), ("hidden.png", ""), ("B.pgn", "b.png")])
def test_a_mistyped_name(photos, typed, meant):
    """macOS puts a hidden file ._b.png next to b.png on other file systems."""
    (photos / "._b.png").touch()
    with pytest.raises(InputError) as error:
        names(photos / typed)
    assert str(error.value).endswith(f"did you mean {photos / meant}?" if meant else "a list or a video.")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("photos/*", ["a", "b"]),
        ("photos/**/*.png", ["b", "trip/c"]),
        ("photos/**", ["a", "b", "trip/c", "trip/far/d"]),
        ("photos/t*/?.png", ["trip/c"]),
        ("photos/*/*/*", ["trip/far/d"]),
        ("photos/trip/[cd].png", ["c"]),
        ("photos/**/far/*", ["trip/far/d"]),
        ("photos/t*/**/*.[pP]*", ["trip/c", "trip/far/d"]),
        ("**/*.jpg", ["photos/a"]),
        ("photos/**/**/?.jpg", ["a"]),
    ],
)
def test_a_pattern_keeps_the_subfolders_below_its_fixed_part(photos, pattern, found):
    assert names(pattern) == found


def test_wildcards_in_the_name_of_a_file_or_folder_that_exists(photos):
    photos.rename("photos [1]")
    write(photos.parent / "what?[0].png", noise(0))
    assert names("photos [1]") == ["a", "b", "trip/c", "trip/far/d"] and names("what?[0].png") == ["what?[0]"]
    assert names("photos [1]/*.png") == ["b"] and names("photos [1]/**/*.png") == ["b", "trip/c"]
    assert names("photos [1]/t[rs]ip/*") == ["trip/c"]


def test_a_pattern_with_two_links_to_a_folder_that_contains_them(photos):
    for name in ("here", "again"):
        (photos / "trip" / name).symlink_to("..")
    assert names("photos/**/*.png") == ["b", "trip/c"]


def test_a_pattern_whose_images_may_be_elsewhere(photos):
    with pytest.raises(InputError) as error:
        names("photos/*/../*.png")
    assert is_sentence(error, "source=photos/*/../*.png has ..")


def test_a_list_is_relative_to_its_own_folder_and_keeps_its_order(photos):
    text = f"\ufefftrip/c.png\r\n\n {photos / 'a.jpg'} \ntrip/c.png\nmissing é.png\n"
    (photos / "list.txt").write_text(text, encoding="utf-8")
    assert names("photos/list.txt") == ["trip/c", "a", "missing é"]  # missing files are reported when they are read
    (photos / "list.txt").write_text("trip/far/d.PNG\ntrip/c.png")
    assert names("photos/list.txt") == ["far/d", "c"]
    (photos / "list.txt").write_bytes(b"# the trip\r\n\r\ntrip/c.png\r\n# its end\r\n./# a.png\r\n")
    assert names("photos/list.txt") == ["trip/c", "# a"]
    (photos / "list.txt").write_text("a.jpg\r\ntrip/c.png\r\n", encoding="utf-16")
    assert names("photos/list.txt") == ["a", "trip/c"]
    (photos / "list.txt").write_text("a.jpg\n", encoding="utf-16-le")  # without a byte-order mark
    with pytest.raises(InputError) as error:
        names("photos/list.txt")
    assert is_sentence(error, "photos/list.txt is not a text file in UTF-8")
    (photos / "list.txt").write_text("notes.doc")
    with pytest.raises(InputError) as error:
        names("photos/list.txt")
    assert is_sentence(error, "list.txt", "notes.doc", ".png", "correct or remove that line")


def test_two_images_never_share_an_output(photos):
    write(photos / "B.jpg", noise(1))
    assert names("photos") == ["B.jpg", "a", "b.png", "trip/c", "trip/far/d"]  # B and b are one on some systems
    write(photos / "b.png.png", noise(1))
    with pytest.raises(InputError) as error:
        names("photos")
    assert is_sentence(error, "b.png", "rename")


def test_outputs_within_the_source_are_not_predicted_again(photos):
    write(photos / "out" / "overlay" / "a.png", noise(0))
    assert names("photos", "photos/out") == ["a", "b", "trip/c", "trip/far/d"]
    assert names("photos/**", photos / "out") == ["a", "b", "trip/c", "trip/far/d"]


def test_outputs_of_another_command_are_skipped_unless_they_are_given(photos, capsys):
    output = photos / "old" / "overlay" / "a.png"
    enter(photos / "old", {output: Origin("a.jpg", {})}, overwrite=False)
    write(output, noise(0))
    (photos / "trip" / "predictions.json").write_text("{}")  # another program's
    for source in ("photos", "photos/**"):
        assert names(source) == ["a", "b", "trip/c", "trip/far/d"]
        assert capsys.readouterr().out == "Skipping photos/old: outputs of an earlier prediction.\n"
    assert names("photos/old") == ["overlay/a"] and names("photos/old/overlay/*.png") == ["a"]
    assert names("photos/trip") == ["c", "far/d"] and not capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("photos", "photos"),
        ("photos", "."),
        ("photos/*.png", "photos"),
        ("photos/a.jpg", "photos"),
        ("photos/trip/*.png", "photos"),
        ("photos", "link"),
        ("photos/list.txt", "photos/trip"),
    ],
)
def test_an_out_folder_that_contains_the_source_is_refused(photos, source, out):
    os.symlink(photos, "link")
    (photos / "list.txt").write_text("a.jpg\ntrip/c.png")
    with pytest.raises(InputError) as error:
        names(source, out)
    assert is_sentence(error, f"out={out}", "choose another folder")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", ["nowhere", "does not exist"]),
        ("nowhere.txt", ["nowhere.txt"]),
        ("photos/*.tif", ["photos/*.tif", "no images"]),
        ("empty", ["empty", "no images", ".png"]),
        ("photos/text.doc", ["text.doc", ".png", ".mp4", ".txt"]),
        ("photos/notes.txt", ["notes.txt", "nothing", "not an image"]),
        ("empty.txt", ["empty.txt"]),
    ],
)
def test_a_source_without_images_is_reported(photos, source, words):
    (photos.parent / "empty").mkdir()
    (photos.parent / "empty.txt").touch()
    (photos / "text.doc").touch()
    with pytest.raises(InputError) as error:
        names(source)
    assert is_sentence(error, *words)


def test_an_out_that_is_a_file_is_refused(photos):
    with pytest.raises(InputError) as error:
        names("photos", "photos/a.jpg")
    assert is_sentence(error, "out=photos/a.jpg", "is a file")


def test_videos_are_known_by_their_suffix(photos):
    (photos / "x.mp4").mkdir()
    assert is_video("a.MP4") and is_video("b/c.webm") and not is_video("a.png") and not is_video(photos / "x.mp4")


def test_shards_are_disjoint_and_cover_everything():
    parts = [shard_of(list(range(11)), shard, 4) for shard in range(4)]
    assert sorted(chain.from_iterable(parts)) == list(range(11)) and max(map(len, parts)) - min(map(len, parts)) == 1
    for shard, shards in ((4, 4), (-1, 4), (0, 0), ("0", 1), (0, 1.0), (True, 2)):
        with pytest.raises(InputError) as error:
            shard_of([1], shard, shards)
        assert is_sentence(error, "shard=")


def test_a_link_to_itself_is_listed_like_other_broken_files(photos, tmp_path):
    (photos / "itself.png").symlink_to("itself.png")
    assert photos / "itself.png" in [item.path for item in find_images(photos, tmp_path / "out")]


def test_several_videos_are_given_one_by_one(photos):
    (photos / "trip" / "drive.mp4").touch()
    for path in [path for path in photos.rglob("*") if path.suffix.lower() in (".png", ".jpg")]:
        path.unlink()
    for source in ("photos", "photos/trip/*.mp4"):
        assert not is_video(source)
        with pytest.raises(InputError) as error:
            names(source)
        assert is_sentence(error, source, "give videos one by one")
    (photos / "a[1].mp4").touch()
    assert is_video(photos / "a[1].mp4")
