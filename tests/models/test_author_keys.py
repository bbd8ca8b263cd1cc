"""Names of the author's release; tests/parity/test_author_names.py compares whole networks."""

import pytest

from regseg.models.author_keys import remap_key


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stem.conv.weight", "stem.conv.weight"),
        ("body.stage4.conv1.weight", "backbone.stage4.0.conv1.conv.weight"),
        ("body.stage16.3.conv2.convs.1.weight", "backbone.stage16.3.conv2.conv.branches.1.weight"),
        ("body.stage16.3.bn2.weight", "backbone.stage16.3.conv2.bn.weight"),
        ("body.stage16.3.se.conv2.weight", "backbone.stage16.3.se.conv2.weight"),
        ("body.stage32.0.conv1.weight", "backbone.stage16.7.conv1.conv.weight"),
        ("layer3_.1.conv1.weight", "high3.1.conv1.conv.weight"),
        ("spp.scale1.1.weight", "dappm.scales.0.weight"),
        ("final_layer.conv2.bias", "head.classifier.bias"),
        ("decoder.scale.1.weight", "decoder.gate.weight"),
        ("something.else", "something.else"),
    ],
)
def test_keys(theirs, ours):
    assert remap_key(theirs) == ours
