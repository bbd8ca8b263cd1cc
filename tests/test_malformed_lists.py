"""Lists and mappings that Hydra cannot read."""

import pytest

from regseg.arguments import for_hydra
from regseg.errors import InputError
from regseg.malformed_lists import check_brackets


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("x=[720,960", "x=[720,960 lacks ] at its end; type 'x=[720,960]'."),
        ("x={a:[1,2", "x={a:[1,2 lacks ]} at its end; type 'x={a:[1,2]}'."),
        ("x=[720, 960] y=1", "Spaces divide the list x=[720, 960]; type 'x=[720,960]'."),
        ("x={a: [1, 2]}", "Spaces divide the mapping x={a: [1, 2]}; type 'x={a:[1,2]}'."),
        ("x=[1, y=2", "x=[1, is not a list that Hydra can read; type 'KEY=[VALUE,VALUE]', with values"),
        ("x=[1,,2]", "x=[1,,2] is not a list that Hydra can read"),
        ("x=[a(1).jpg]", "double quotes."),
        ("+x={a]", "+x={a] is not a mapping that Hydra can read; type 'KEY={OPTION:VALUE,OPTION:VALUE}'"),
    ],
)
def test_the_sentence_says_what_to_type(line, sentence):
    with pytest.raises(InputError) as caught:
        check_brackets(line.split(" "))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_what_hydra_can_read_passes():
    check_brackets(["x=[1,2]", "y={a:1}", "x=[1,2],[3,4]", "source=[x", "out={a", "x=a[", "~x", "z", 'x=["a(1).jpg"]'])


def test_text_that_begins_with_a_bracket_is_not_a_list():
    typed = ["run.name=[x]y", "group={a} (1)", "x=[a],[b]c"]
    check_brackets(typed)
    assert for_hydra(typed) == ["run.name='[x]y'", "group='{a} (1)'", "x='[a],[b]c'"]
    for text in ("x=[1]]", "x=[[1],[1 (2)]]"):
        with pytest.raises(InputError, match="is not a list that Hydra can read"):
            check_brackets([text])
