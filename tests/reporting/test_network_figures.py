"""Published values of networks."""

import json

import pytest

import regseg
from regseg.reporting.network_figures import describe_with_paper, printed_name


def test_a_networks_published_figures():
    rows = describe_with_paper(regseg.create_model(num_classes=19), (64, 64))["paper"]
    assert [(row["quantity"].split()[0], row["paper"], row["where"]) for row in rows] == [
        ("parameters", 3.34, "Table 10"), ("GFLOPs", 39.1, "Table 10"), ("field", 3807, "Table 4, row 1"),
    ]  # fmt: skip


@pytest.mark.parametrize("options", [{"num_classes": 11}, {"num_classes": 19, "decoder": "lraspp"}])
def test_size_and_cost_are_those_of_the_papers_network(options):
    rows = describe_with_paper(regseg.create_model(**options), (64, 64))["paper"]
    assert [row["quantity"].split()[0] for row in rows] == ["field"]


def test_names_of_tables():
    assert (printed_name("table10"), printed_name("sec4_2")) == ("Table 10", "sec4_2")


def paper(model):
    return {row["quantity"]: row for row in describe_with_paper(model)["paper"]}


def test_regseg_compared_with_the_paper():
    described = describe_with_paper(regseg.create_model())
    assert described["parameters"] == 3_334_951
    assert round(described["gflops"], 2) == 39.08
    assert described["field_of_view"] == 3807
    assert [(row["paper"], row["where"]) for row in described["paper"]] == [
        (3.34, "Table 10"),
        (39.1, "Table 10"),
        (3807, "Table 4, row 1"),
    ]
    assert [bool(row["why"]) for row in described["paper"]] == [True, False, False]
    json.dumps(described)  # plain values


def test_all_printed_fields_of_view_but_one_are_reproduced():
    """The fields of view needed by Sec. 3.1, 2n - 1 for a side of n pixels, are compared too."""
    differing, met = {}, {}
    for name in regseg.list_backbones():
        described = describe_with_paper(regseg.create_model(backbone=name, decoder="sum_conv3x3"), (64, 64))
        assert [row["pixels"] for row in described["needed_field_of_view"]] == [447, 2 * 1024 - 1, 2 * 2048 - 1]
        met[name] = [row["met"] for row in described["needed_field_of_view"]]
        for row in described["paper"]:
            if row["ours"] != row["paper"]:
                differing[name] = row
    assert met.pop("regnety_600mf") == [True, False, False] and met.pop("dilation_1_14_gradual") == [True, True, True]
    assert all(of_network == [True, True, False] for of_network in met.values())
    assert list(differing) == ["regnety_600mf"]
    row = differing["regnety_600mf"]
    assert (row["ours"], row["paper"], row["where"]) == (479, 607, "Table 4, row 10")
    assert "RegNetX-600MF" in row["why"]


def test_ddrnet_compared_with_the_paper():
    model = regseg.create_model("ddrnet23")
    described = describe_with_paper(model)
    assert described["field_of_view"] is None and described["blocks"] == []
    assert [row["met"] for row in described["needed_field_of_view"]] == 3 * [None]
    assert round(described["gflops_convolutions"], 1) == 143.1
    assert "convolutions only" in paper(model)["GFLOPs at 1024x2048"]["why"]


def test_custom_dilations_are_in_no_table():
    assert describe_with_paper(regseg.create_model(backbone=[[1], [1, 4]]), (64, 96))["paper"] == []
    assert "parameters (millions)" not in paper(regseg.create_model(num_classes=11))
