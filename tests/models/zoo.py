"""The models of parametrised tests."""

import torch

import regseg

# Every backbone with the decoder of Table 4, every decoder with the backbone of Table 5, and the named models.
CASES = [
    *({"name": name} for name in regseg.list_models()),
    *({"backbone": name, "decoder": "sum_conv3x3"} for name in regseg.list_backbones() if name != "regseg_large"),
    *({"backbone": "dilation_1_12", "decoder": name} for name in regseg.list_decoders() if name != "sum_conv3x3"),
]

# The same parts with few blocks, for tests that take a second per block (tracing).
SHORT_CASES = [
    {"name": "ddrnet23"},
    {"backbone": [[1, 2], [1, 2, 3, 4]]},
    *({"backbone": [[1]], "decoder": name} for name in ("lraspp", "sfnet", "bisenet", "concat_yblock")),
    *(
        {"backbone": [[1]], "decoder": name}
        for name in ("sum_conv3x3", "sum_conv1x1", "concat_conv3x3", "concat_conv1x1")
    ),
    {"backbone": [[1]], "decoder": "regseg_large"},
]


def name_of(case: dict) -> str:
    return "+".join(str(part) for part in case.values())


def calibrated(case: dict, num_classes: int = 19) -> torch.nn.Module:
    """A model in eval mode whose BatchNorms have seen a batch, so that logits are neither tiny nor huge."""
    torch.manual_seed(0)
    model = regseg.create_model(**case, num_classes=num_classes).train()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(torch.randn(2, 3, 96, 128))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()
