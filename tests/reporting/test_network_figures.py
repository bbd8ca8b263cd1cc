"""Published values of networks."""

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
