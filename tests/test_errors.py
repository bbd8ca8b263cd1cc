"""Suggestions for mistyped names, and values as they are typed."""

import re

import pytest

from regseg.errors import (
    InputError,
    check_boolean,
    check_choice,
    check_number,
    check_options,
    counted,
    did_you_mean,
    shortened,
    typed,
)

NAMES = [
    "data",
    "data.root",
    "data.seed",
    "seed",
    "optimizer.lr",
    "optimizer.weight_decay",
    "trainer.max_epochs",
    "row",
]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("data.rot", "did you mean data.root?"),
        ("root", "did you mean data.root?"),
        ("lr", "did you mean optimizer.lr?"),
        ("max_epoch", "did you mean trainer.max_epochs?"),
        ("seeed", "did you mean seed or data.seed?"),
        ("optimizer.weight_decy", "did you mean optimizer.weight_decay?"),
        ("nothing_like_it", ""),
    ],
)
def test_the_nearest_names_are_suggested(given, found):
    assert did_you_mean(given, NAMES) == found


@pytest.mark.parametrize(
    ("given", "names", "found"),
    [
        ("input", ["source", "out"], "did you mean source?"),
        ("checkpoint", ["weights", "out"], "did you mean weights?"),
        ("epochs", NAMES, "did you mean trainer.max_epochs?"),
        ("learning-rate", NAMES, "did you mean optimizer.lr?"),
        ("dataset", ["data.dataset", "data"], "did you mean data?"),
        ("image", ["images", "size"], "did you mean images?"),  # there is no source here
    ],
)
def test_names_of_other_projects_are_known(given, names, found):
    assert did_you_mean(given, names) == found


def test_an_unknown_option_is_named_with_the_nearest_and_all():
    def function(image, *, magnitude=1, operations=2):
        pass

    with pytest.raises(InputError, match=r"a\.operation does not exist; did you mean a\.operations\?$"):
        check_options("a", {"operation": 3}, function, None)
    with pytest.raises(InputError, match=r"a\.zzz does not exist; the options are magnitude, operations\.$"):
        check_options("a", {"zzz": 3}, function, None)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null does not exist; choose one of half, cache."),
        (True, "true does not exist"),
        (["half", 1], "[half,1] does not exist"),
        ("hlaf", "hlaf does not exist (did you mean half?); choose"),
    ],
)
def test_a_choice_is_named_as_it_is_typed(value, words):
    check_choice("a", "half", ("half", "cache"))
    with pytest.raises(InputError, match=f"^a={re.escape(words)}"):
        check_choice("a", value, ("half", "cache"))


@pytest.mark.parametrize("value", [None, [True]])
def test_what_is_not_a_boolean_is_named_as_it_is_typed(value):
    with pytest.raises(InputError, match=f"^a={re.escape(typed(value))} is not a boolean"):
        check_boolean("a", value)


def test_numbers_of_things():
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


def test_a_number_is_named_as_it_is_typed():
    with pytest.raises(InputError, match=f"^a={2**63} is not an integer from 1 to {2**63 - 1}\\.$"):
        check_number("a", 2**63, lowest=1, integer=True)


def test_a_value_is_named_as_it_is_typed():
    assert [shortened(value) for value in (None, True, "a", [1, 2])] == ["null", "true", "a", "[1, 2]"]
    assert shortened([1] * 18 + [2]) != shortened([1] * 19) and len(shortened([1] * 999)) < 200
    with pytest.raises(InputError, match=r"^a=null is not a boolean; use true or false\."):
        check_boolean("a", None)
    for value, shown in ((None, "null"), (True, "true"), ("a", "'a'"), (float("nan"), "nan")):
        with pytest.raises(InputError, match=f"^a.b={shown} is not a number of at least 0\\.$"):
            check_number("a.b", value)
