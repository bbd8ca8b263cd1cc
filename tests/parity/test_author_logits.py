"""RegSeg against the logits of the author's code.

The drawn weights make the network amplify rounding: at 256x512 the author's float32 logits lie 4e-4 (of the largest)
from the same network's in float64, at 90x122 1e-6. Single-threaded, on the kind of CPU where they were computed (AMD
Zen), ours are equal to the last bit; another number of threads, another CPU (1.5e-4 on an Intel one) or another memory
layout sums in another order. So float64, which rounds nothing visible, has to agree up to the author's rounding, and
float32 has to be as near to the author's as his are to float64, up to twice as far in another layout.
"""

import numpy as np
import pytest
import torch
from author_release import HERE, author_weights, image, our_model, relative_difference

import regseg

CASES = [(256, 512, 16, 1e-3), (90, 122, 8, 1e-5)]


@pytest.fixture(scope="module")
def model():
    model = our_model("dilation_1_14+regseg")
    regseg.load_weights(model, author_weights("dilation_1_14+regseg"))
    return model


@pytest.mark.parametrize(("height", "width", "step", "rounding"), CASES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_logits_equal_the_authors(model, height, width, step, rounding, memory_format):
    golden = torch.from_numpy(np.load(HERE / "golden_logits_regseg.npz")[f"logits_{height}x{width}"])
    x = image(height, width).to(memory_format=memory_format)
    with torch.no_grad():
        logits = model.float().to(memory_format=memory_format)(x)
        exact = model.double()(x.double())
    assert logits.shape == (1, 19, height, width)
    authors_rounding = relative_difference(exact[0, :, ::step, ::step], golden)
    assert authors_rounding < rounding
    bound = max(1e-4, authors_rounding * (1 if memory_format == torch.contiguous_format else 2))
    assert relative_difference(logits[0, :, ::step, ::step], golden) < bound
