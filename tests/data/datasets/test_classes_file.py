"""The classes of a custom dataset."""

import pytest
from layouts import is_sentence, write_folder

from regseg.data.datasets.classes_file import read_classes
from regseg.data.datasets.folder import Folder
from regseg.data.datasets.spec import IGNORE_INDEX
from regseg.errors import InputError


def classes(tmp_path, text, **options):
    path = tmp_path / "mine" / "classes.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, **({"encoding": "utf-8"} | options))
    return read_classes(path)


def test_index_labels(tmp_path):
    spec = classes(
        tmp_path,
        "classes:\n  - {name: road, id: 4, color: [128, 64, 128]}\n  - {name: car, id: 2}\n"
        "ignore: [0, 9]\nexcluded: [car]\n",
    )
    assert (spec.name, spec.classes, spec.excluded) == ("mine", ("road", "car"), ("car",))
    assert spec.ids == {4: 0, 2: 1, 0: IGNORE_INDEX, 9: IGNORE_INDEX, 255: IGNORE_INDEX}
    assert spec.colors[0] == (128, 64, 128) and spec.colors[1] != spec.colors[0]
    assert spec.color_ids == ()  # not every class has one, so these are for pictures alone
    assert spec.kept_in_reduced == [0]


def test_the_former_key_left_out_is_still_read(tmp_path):
    text = "classes: [{name: road, id: 0}, {name: car, id: 1}]\nleft_out: [car]\n"
    assert Folder(write_folder(tmp_path / "old", classes=text)).spec.excluded == ("car",)
    with pytest.raises(InputError) as error:
        _ = Folder(write_folder(tmp_path / "both", classes=text + "excluded: [road]\n")).spec
    assert is_sentence(error, "classes.yaml", "excluded", "left_out", "remove")


def test_colour_labels(tmp_path):
    spec = classes(
        tmp_path, "classes: [{name: road, color: [9, 8, 7]}, {name: car, color: [0, 0, 1]}]\nignore: [[0, 0, 0], 3]\n"
    )
    assert spec.ids == {}
    assert dict(spec.color_ids) == {(9, 8, 7): 0, (0, 0, 1): 1, (0, 0, 0): IGNORE_INDEX}
    assert spec.colors == ((9, 8, 7), (0, 0, 1))


def test_both_kinds_and_255_as_a_class(tmp_path):
    spec = classes(tmp_path, "classes: [{name: no, id: 0, color: [0, 0, 0]}, {name: yes, id: 255, color: [1, 1, 1]}]"
                   .replace("name: no", "name: 'no'").replace("name: yes", "name: 'yes'"))  # fmt: skip
    assert spec.classes == ("no", "yes") and spec.ids == {0: 0, 255: 1}
    assert dict(spec.color_ids) == {(0, 0, 0): 0, (1, 1, 1): 1}


def test_several_ids_and_colours_of_one_class(tmp_path):
    spec = classes(
        tmp_path,
        "classes: [{name: road, id: [3, 5], color: [[9, 8, 7], [9, 8, 6]]}, {name: car, id: [2], color: [1, 1, 1]}]",
    )
    assert spec.ids == {3: 0, 5: 0, 2: 1, 255: IGNORE_INDEX}
    assert dict(spec.color_ids) == {(9, 8, 7): 0, (9, 8, 6): 0, (1, 1, 1): 1}
    assert spec.colors == ((9, 8, 7), (1, 1, 1))  # the first one is that of pictures
    for entry, shown in (("id: [3, 2]", "2 of car"), ("id: []", "[]"), ("id: [3, [4]]", "[4]")):
        with pytest.raises(InputError) as error:
            classes(tmp_path, f"classes: [{{name: road, {entry}}}, {{name: car, id: 2}}]")
        assert is_sentence(error, "classes.yaml", shown)
    with pytest.raises(InputError) as error:
        classes(tmp_path, "classes: [{name: road, color: [[1, 2, 3], [4, 5]]}, {name: car, color: [2, 2, 2]}]")
    assert is_sentence(error, "classes.yaml", "[4, 5]")


def test_any_language_and_a_byte_order_mark(tmp_path):
    text = "classes: [{name: Straße, id: 0}, {name: 道路, id: 1}]"
    assert classes(tmp_path, text).classes == ("Straße", "道路")
    assert classes(tmp_path, text, encoding="utf-8-sig").classes == ("Straße", "道路")
    with pytest.raises(InputError) as error:
        classes(tmp_path, text, encoding="utf-16")
    assert is_sentence(error, "classes.yaml is not encoded in UTF-8", "save it as UTF-8")


NESTED = "[x, x, x, x, x, x, x, x, x, x]"  # a few hundred bytes that are gigabytes when they are written out
for level in range(8):
    NESTED = f"[&a{level} {NESTED}" + f", *a{level}" * 9 + "]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["classes"]),
        ("just text", ["classes"]),
        ("classes: [", ["not valid YAML"]),
        ("classes:\n\t- a", ["not valid YAML"]),
        ("classes:", ["0 classes", "1 to 254"]),
        ("classes: []", ["0 classes", "1 to 254"]),
        ("classes: 5", ["classes is 5", "list"]),
        ("classes: {road: 0}", ["not a list", "{name: road, id: 0}"]),
        ("classes: {0: road, 1: car}", ["not a list", "{name: road, id: 0}"]),
        ("classes: [{name: a, color: [1, 2, 3]}]\nignore: [0, 0, 0]", ["three ids", "ignore: [[0, 0, 0]]"]),
        ("classes:\n- name: a\n  id: 0\n  name: b\n  id: 1\n", ["line 2", "key name", "given twice", "new entry"]),
        ("classes: [{name: a, id: 0}]\nclasses: [{name: b, id: 1}]", ["key classes", "given twice"]),
        ("classes: [road, car]", ["road", "name"]),
        ("classes: [{id: 0}]", ["{'id': 0}", "name"]),
        ("classes: [{name: no, id: 0}]", ["false", "name", "quotes"]),
        ("classes: [{nmae: road, id: 0}]", ["no key nmae", "name, id, color"]),
        ("classes: [{name: , id: 0}]", ["None", "name"]),
        ("classes: [{name: road}]", ["road", "has no id", "color"]),
        ("classes: [{name: road, id: 0}, {name: car}]", ["car has no id"]),
        ("classes: [{name: road, id: 0}, {name: car, color: [0, 0, 1]}]", ["has no", "every class"]),
        ("classes: [{name: road, id: 0}, {name: road, id: 1}]", ["road", "twice"]),
        ("classes: [{name: road, id: 0}, {name: car, id: 0}]", ["id 0 of car", "twice"]),
        ("classes: [{name: road, id: 255}, {name: car, id: 255}]", ["id 255 of car", "twice"]),
        ("classes: [{name: road, id: 0}]\nignore: [0]", ["id 0 of road", "twice"]),
        ("classes: [{name: a, color: [1, 2, 3]}, {name: b, color: [1, 2, 3]}]", ["(1, 2, 3)", "twice"]),
        ("classes: [{name: road, id: 256}]", ["256", "from 0 to 255"]),
        ("classes: [{name: road, id: -1}]", ["-1", "from 0 to 255"]),
        ("classes: [{name: road, id: '0'}]", ["'0' is not an id"]),
        ("classes: [{name: road, id: true}]", ["true", "id"]),
        ("classes: [{name: road, id: [0, 0, 1]}]", ["id 0 of road", "twice"]),
        ("classes: [{name: road, color: 5}]", ["5", "color"]),
        ("classes: [{name: road, color: red}]", ["red", "color"]),
        ("classes: [{name: road, color: [0, 0]}]", ["[0, 0]", "color"]),
        ("classes: [{name: road, color: [0, 0, 256]}]", ["[0, 0, 256]", "color"]),
        ("classes: [{name: road, color: [0, 0, .5]}]", ["0.5", "color"]),
        ("classes: [{name: road, id: 0, colour: [1, 2, 3]}]", ["colour", "color"]),
        ("classes: [{name: road, id: 0}]\nignored: [1]", ["ignored", "ignore"]),
        ("classes: [{name: road, id: 0}]\nignore: 1", ["ignore is 1", "ignore: [1]"]),
        ("classes: [{name: road, id: 0}]\nignore: [void]", ["void", "id"]),
        ("classes: [{name: road, id: 0}]\nexcluded: road", ["excluded is road", "excluded: [road]"]),
        ("classes: [{name: road, id: 0}]\nexcluded: [car]", ["car", "road"]),
        ("classes: [{name: road, id: 0}]\nexcluded: [road]", ["every class"]),
        ("classes: [{name: 2001-13-45, id: 0}]", ["not valid YAML"]),
        ("classes: [{name: a, id: " + "1" * 6000 + "}]", ["not valid YAML"]),
        ("classes: [{name: a, id: 0x" + "f" * 6000 + "}]", ["a huge number", "from 0 to 255"]),
        ("classes: [{name: !!timestamp now, id: 0}]", ["not valid YAML"]),
        ("classes: " + "[" * 3000 + "]" * 3000, ["not valid YAML"]),
        ("classes: !!python/object/apply:os.system ['exit 1']", ["not valid YAML"]),
        ("classes: &all [*all]", ["no valid name"]),
        (f"classes: [{NESTED}]", ["no valid name"]),
        (f"classes: [{{name: a, id: {NESTED}}}]", ["from 0 to 255"]),
        (f"classes: {{a: {NESTED}}}", ["list"]),
        (f"classes: [{{name: a, id: 0}}]\nignore: [{NESTED}]", ["from 0 to 255"]),
        (f"classes: [{{name: a, id: 0}}]\nexcluded: [{NESTED}]", ["not a class"]),
        (r'classes: [{name: "a\ud800", id: 0}]', ["cannot be printed"]),
        (r'classes: [{name: "\e[31ma", id: 0}]', ["cannot be printed"]),
        ("classes: [" + ", ".join(f"{{name: c{i}, color: [{i}, 0, 0]}}" for i in range(255)) + "]", ["255", "254"]),
    ],
)
def test_an_invalid_classes_file_is_reported(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        classes(tmp_path, text)
    assert is_sentence(error, tmp_path / "mine" / "classes.yaml", *words) and len(str(error.value)) < 1000


def test_a_classes_file_that_cannot_be_read(tmp_path):
    path = tmp_path / "classes.yaml"
    with pytest.raises(InputError) as error:
        read_classes(path)
    assert is_sentence(error, path, "missing")
    path.write_bytes("classes: [{name: Straße, id: 0}]".encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_classes(path)
    assert is_sentence(error, path, "UTF-8")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError) as error:
        read_classes(path)
    assert is_sentence(error, path, "cannot be read")
