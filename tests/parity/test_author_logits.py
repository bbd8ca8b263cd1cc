"""RegSeg compared with the logits of the author's code.

The reference was computed and stored in float32, on weights that amplify rounding errors. It differs from the same
network in float64 by 3.9e-4 of the largest logit at 256x512, and by 1.3e-6 at 90x122. No comparison with it can be
tighter, so there are three comparisons, at the reference's sizes and in both memory formats:

- In float64, our network equals a second implementation, written from the description alone, within 1e-9.
- The reference differs from our float64 logits by no more than its rounding error.
- Our float32 logits differ from the reference by no more than that error or 1e-4. In channels-last, twice the error is
  allowed, because sums have another order.
"""

import numpy as np
import pytest
import torch
from author_release import HERE, author_weights, image, our_model, relative_difference
from test_recomputation import recompute

import regseg

KEY = "dilation_1_14+regseg"
CASES = [(256, 512, 16, 5e-4), (90, 122, 8, 2e-6)]  # the last: the rounding of the stored float32 logits


@pytest.fixture(scope="module")
def model():
    model = our_model(KEY)
    regseg.load_weights(model, author_weights(KEY))
    return model


@pytest.mark.parametrize(("height", "width", "step", "rounding"), CASES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_logits_equal_the_authors(model, height, width, step, rounding, memory_format):
    golden = torch.from_numpy(np.load(HERE / "golden_logits_regseg.npz")[f"logits_{height}x{width}"])
    x = image(height, width).to(memory_format=memory_format)
    weights = {name: tensor.double() for name, tensor in author_weights(KEY).items()}
    with torch.no_grad():
        logits = model.float().to(memory_format=memory_format)(x)
        exact = model.double()(x.double())
        expected = recompute(KEY, weights, image(height, width).double())
    assert logits.shape == (1, 19, height, width)
    assert relative_difference(exact, expected) < 1e-9
    authors_rounding = relative_difference(exact[0, :, ::step, ::step], golden)
    assert authors_rounding < rounding
    bound = max(1e-4, authors_rounding * (1 if memory_format == torch.contiguous_format else 2))
    assert relative_difference(logits[0, :, ::step, ::step], golden) < bound
