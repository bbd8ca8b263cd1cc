"""The names of tensors in the author's release, and their names in this project."""

import re
from collections.abc import Callable


def remap_key(key: str) -> str:
    """Map a tensor's name in the author's release to its name in this project; unknown names are returned unchanged."""
    for pattern, replacement in _AUTHOR_KEYS:
        key = re.sub(pattern, replacement, key)
    return key


def _shifted(template: str, by: int) -> Callable[[re.Match], str]:
    return lambda match: template.format(int(match[1]) + by)


# Applied in order. Within a block, each pair conv1, bn1, ... becomes one ConvBnAct, except for the convolutions of SE.
_AUTHOR_KEYS: list[tuple[str, str | Callable[[re.Match], str]]] = [
    # Backbones. A stage of one block has no index. RegNetY's last stage has stride 1 here and belongs to that at 1/16.
    (r"^body\.stage32\.(\d+)\.", _shifted("backbone.stage16.{}.", 7)),
    (r"^body\.(stage\d+)\.(?!\d)", r"backbone.\1.0."),
    (r"^body\.", "backbone."),
    # DDRNet-23
    (r"^conv1\.(\d)\.", r"stem.\1."),
    (r"^layer([34])\.", r"low\1."),
    (r"^layer([34])_\.", r"high\1."),
    (r"^layer5\.0\.", "low5."),
    (r"^layer5_\.0\.", "high5."),
    (r"^compression(\d)\.", r"compress\1."),
    (r"^spp\.scale([1-4])\.1\.", _shifted("dappm.scales.{}.", -1)),
    (r"^spp\.process(\d)\.", _shifted("dappm.processes.{}.", -1)),
    (r"^spp\.compression\.", "dappm.compress."),
    (r"^spp\.", "dappm."),
    (r"^final_layer\.bn1\.", "head.conv.bn."),
    (r"^final_layer\.conv1\.", "head.conv.conv."),
    (r"^final_layer\.bn2\.", "head.bn."),
    (r"^final_layer\.conv2\.", "head.classifier."),
    (r"\.downsample\.", ".shortcut."),
    # lraspp
    (r"^decoder\.cbr\.", "decoder.conv."),
    (r"^decoder\.scale\.1\.", "decoder.gate."),
    # sfnet
    (r"^decoder\.head16\.stages\.(\d)\.1\.", r"decoder.head16.stages.\1."),
    (r"^decoder\.head16\.bottleneck\.", "decoder.head16.conv."),
    (r"^decoder\.fpn_align\.down_h\.", "decoder.align.coarse."),
    (r"^decoder\.fpn_align\.down_l\.", "decoder.align.fine."),
    (r"^decoder\.fpn_align\.flow_make\.", "decoder.align.flow."),
    (r"^decoder\.conv_last\.0\.", "decoder.fuse."),
    (r"^decoder\.conv_last\.1\.", "decoder.classifier."),
    # bisenet
    (r"^decoder\.arm16\.scale\.1\.", "decoder.refine16.gate.conv."),
    (r"^decoder\.arm16\.scale\.2\.", "decoder.refine16.gate.bn."),
    (r"^decoder\.arm16\.", "decoder.refine16."),
    (r"^decoder\.conv_head16\.", "decoder.head16."),
    (r"^decoder\.conv_avg\.", "decoder.head_mean."),
    (r"^decoder\.ffm\.conv\.", "decoder.fuse."),
    (r"^decoder\.ffm\.se\.", "decoder.se."),
    # Blocks; last, because the rules above match whole modules.
    (r"\.bn(\d)\.", r".conv\1.bn."),
    (r"\.conv2\.convs\.(\d)\.", r".conv2.conv.branches.\1."),
    (r"^(backbone\..*|decoder\.conv)(?<!\.se)\.conv2\.weight$", r"\1.conv2.conv.branches.0.weight"),
    (r"(?<!\.se)\.conv([123])\.weight$", r".conv\1.conv.weight"),
]
