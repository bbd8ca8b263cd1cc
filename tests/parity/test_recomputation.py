"""Every model compared with a second implementation, written from its description only.

Nothing here uses our classes. There are plain functions on the author's names, with one line per operation. They reveal
a wrong order of a concatenation, BatchNorm, ReLU or padding in either implementation. All computations are in float64,
because the weights amplify the rounding errors of float32 up to 1e-3 of the logits.
"""

import pytest
import torch
import torch.nn.functional as F
from author_release import AUTHOR_MODELS, author_weights, image, our_model, relative_difference

import regseg

# The rates of the last thirteen blocks.
RATES = {
    "dilation_1_14": [[1], [1, 2]] + [[1, 4]] * 4 + [[1, 14]] * 7,
    "dilation_1_12": [[1], [1, 2], [1, 4], [1, 6], [1, 8], [1, 10]] + [[1, 12]] * 7,
    "dilation_1_3_6_12": [[1], [1, 2], [1, 4], [1, 6], [1, 8], [1, 10]] + [[1, 3, 6, 12]] * 7,
    "dilation_1_10": [[1], [1, 2], [1, 4], [1, 6], [1, 8]] + [[1, 10]] * 8,
    "dilation_1_6_12_18": [[1], [1, 2]] + [[1, 4]] * 6 + [[1, 6, 12, 18]] * 5,
    "dilation_1_6": [[1], [1, 2], [1, 4]] + [[1, 6]] * 10,
    "dilation_1_14_gradual": [[1], [1, 2], [1, 4], [1, 6], [1, 8], [1, 10], [1, 12]] + [[1, 14]] * 6,
    "dilation_1_4_1_10": [[1, 4]] * 5 + [[1, 10]] * 8,
    "dilation_1_4_8_12": [[1], [1, 2], [1, 4], [1, 6], [1, 8], [1, 10]] + [[1, 4, 8, 12]] * 7,
    "regseg_large": [[1], [1, 2]] + [[1, 4]] * 4 + [[1, 14]] * 7,
}


class Net:
    """Operations by the author's names."""

    def __init__(self, weights):
        self.w = weights

    def conv(self, x, name, stride=1, rate=1):
        weight = self.w[f"{name}.weight"]
        return F.conv2d(
            x,
            weight,
            self.w.get(f"{name}.bias"),
            stride=stride,
            padding=rate * (weight.shape[-1] // 2),
            dilation=rate,
            groups=x.shape[1] // weight.shape[1],
        )

    def bn(self, x, name):
        mean, var, gamma, beta = (
            self.w[f"{name}.{part}"][None, :, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * gamma + beta

    def cb(self, x, name, stride=1):
        return self.bn(self.conv(x, f"{name}.conv", stride), f"{name}.bn")

    def cbr(self, x, name, stride=1):
        return torch.relu(self.cb(x, name, stride))

    def gate(self, x, name):
        squeezed = torch.relu(self.conv(x.mean((2, 3), keepdim=True), f"{name}.conv1"))
        return torch.sigmoid(self.conv(squeezed, f"{name}.conv2"))

    def block(self, x, name, rates=(1,), stride=1, pooled=True):
        y = torch.relu(self.bn(self.conv(x, f"{name}.conv1"), f"{name}.bn1"))
        if len(rates) == 1:
            y = self.conv(y, f"{name}.conv2", stride, rates[0])
        else:
            step = y.shape[1] // len(rates)
            y = torch.cat(
                [
                    self.conv(y[:, i * step : (i + 1) * step], f"{name}.conv2.convs.{i}", stride, rate)
                    for i, rate in enumerate(rates)
                ],
                1,
            )
        y = torch.relu(self.bn(y, f"{name}.bn2"))
        y = y * self.gate(y, f"{name}.se")
        y = self.bn(self.conv(y, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.shortcut.conv.weight" in self.w:
            if stride == 2 and pooled:
                x, stride = mean_of_existing_2x2(x), 1
            x = self.cb(x, f"{name}.shortcut", stride)
        return torch.relu(x + y)


def mean_of_existing_2x2(x):
    """2x2 means with stride 2; at an odd edge, over the existing pixels."""
    height, width = x.shape[2:]
    pad = (0, width % 2, 0, height % 2)
    ones = F.pad(torch.ones_like(x), pad)
    total = sum(F.pad(x, pad)[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
    return total / sum(ones[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))


def up(x, size, align_corners=False):
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=align_corners)


def features(net, x, backbone):
    x = net.cbr(x, "stem", 2)
    if backbone == "regnety_600mf":
        x4 = net.block(x, "body.stage4", stride=2, pooled=False)
        x8 = x4
        for i in range(3):
            x8 = net.block(x8, f"body.stage8.{i}", stride=2 if i == 0 else 1, pooled=False)
        x16 = x8
        for i in range(7):
            x16 = net.block(x16, f"body.stage16.{i}", stride=2 if i == 0 else 1, pooled=False)
        for i, rate in enumerate((1, 2, 2, 2)):
            x16 = net.block(x16, f"body.stage32.{i}", [rate])
        return x4, x8, x16
    large = backbone == "regseg_large"
    if large:
        x4 = net.block(net.block(x, "body.stage4.0", stride=2), "body.stage4.1")
    else:
        x4 = net.block(x, "body.stage4", stride=2)
    x8 = x4
    for i in range(6 if large else 3):
        x8 = net.block(x8, f"body.stage8.{i}", stride=2 if i == 0 else 1)
    x16 = net.block(x8, "body.stage16.0", stride=2)
    for i, rates in enumerate(RATES[backbone], 1):
        x16 = net.block(x16, f"body.stage16.{i}", rates)
    return x4, x8, x16


def decode_regseg(net, x4, x8, x16):
    x = up(net.cbr(x16, "decoder.head16"), x8.shape[2:]) + net.cbr(x8, "decoder.head8")
    x = net.cbr(x, "decoder.conv8")
    x = torch.cat([up(x, x4.shape[2:]), net.cbr(x4, "decoder.head4")], 1)
    return net.conv(net.cbr(x, "decoder.conv4"), "decoder.classifier")


def decode_sum(net, x4, x8, x16):
    x = up(net.cbr(x16, "decoder.head16"), x8.shape[2:]) + net.cbr(x8, "decoder.head8")
    return net.conv(net.cbr(x, "decoder.conv"), "decoder.classifier")


def decode_concat(net, x4, x8, x16):
    x = torch.cat([net.cbr(x8, "decoder.head8"), up(net.cbr(x16, "decoder.head16"), x8.shape[2:])], 1)
    return net.conv(net.cbr(x, "decoder.conv"), "decoder.classifier")


def decode_concat_yblock(net, x4, x8, x16):
    x = torch.cat([net.cbr(x8, "decoder.head8"), up(net.cbr(x16, "decoder.head16"), x8.shape[2:])], 1)
    return net.conv(net.block(x, "decoder.conv"), "decoder.classifier")


def decode_lraspp(net, x4, x8, x16):
    gate = torch.sigmoid(net.conv(x16.mean((2, 3), keepdim=True), "decoder.scale.1"))
    x = up(net.cbr(x16, "decoder.cbr") * gate, x8.shape[2:])
    return net.conv(x, "decoder.high_classifier") + net.conv(x8, "decoder.low_classifier")


def decode_sfnet(net, x4, x8, x16):
    parts = [x16]
    for i, cells in enumerate((1, 2, 3, 6)):
        pooled = net.cb(F.adaptive_avg_pool2d(x16, cells), f"decoder.head16.stages.{i}.1")
        parts.append(up(pooled, x16.shape[2:]))
    high = net.cbr(torch.cat(parts, 1), "decoder.head16.bottleneck")
    low = net.cbr(x8, "decoder.head8")
    batch, _, height, width = low.shape
    flow_in = [
        up(net.conv(high, "decoder.fpn_align.down_h"), (height, width)),
        net.conv(low, "decoder.fpn_align.down_l"),
    ]
    flow = net.conv(torch.cat(flow_in, 1), "decoder.fpn_align.flow_make").permute(0, 2, 3, 1)
    line = lambda n: torch.linspace(-1, 1, n, dtype=torch.float64)  # noqa: E731
    ys, xs = torch.meshgrid(line(height), line(width), indexing="ij")
    grid = torch.stack([xs, ys], -1).expand(batch, -1, -1, -1) + flow / torch.tensor([width, height])
    x = low + sample(high, grid)
    x = net.cbr(x, "decoder.conv")
    x = torch.cat([x, up(high, (height, width), align_corners=True)], 1)
    return net.conv(net.cbr(x, "decoder.conv_last.0"), "decoder.conv_last.1")


def sample(x, grid):
    """Sample x bilinearly, with zeros outside; -1 and 1 are the outer edges of the outer pixels."""
    _, _, height, width = x.shape
    px = (grid[..., 0] + 1) * width / 2 - 0.5
    py = (grid[..., 1] + 1) * height / 2 - 0.5
    out = 0
    for iy in (py.floor(), py.floor() + 1):
        for ix in (px.floor(), px.floor() + 1):
            weight = (1 - (px - ix).abs()) * (1 - (py - iy).abs())
            inside = (ix >= 0) & (ix < width) & (iy >= 0) & (iy < height)
            rows, columns = iy.clamp(0, height - 1).long(), ix.clamp(0, width - 1).long()
            values = torch.stack([x[b, :, rows[b], columns[b]] for b in range(len(x))])
            out = out + values * (weight * inside)[:, None]
    return out


def decode_bisenet(net, x4, x8, x16):
    y = net.cbr(x16, "decoder.arm16.conv")
    gate = net.bn(net.conv(y.mean((2, 3), keepdim=True), "decoder.arm16.scale.1"), "decoder.arm16.scale.2")
    mean = net.cbr(x16.mean((2, 3), keepdim=True), "decoder.conv_avg")
    x = y * torch.sigmoid(gate) + F.interpolate(mean, size=tuple(x16.shape[2:]), mode="nearest")
    x = net.cbr(F.interpolate(x, size=tuple(x8.shape[2:]), mode="nearest"), "decoder.conv_head16")
    z = net.cbr(torch.cat([x8, x], 1), "decoder.ffm.conv")
    z = z + z * net.gate(z, "decoder.ffm.se")
    return net.conv(net.cbr(z, "decoder.conv"), "decoder.classifier")


DECODE = {
    "regseg": decode_regseg,
    "regseg_large": decode_regseg,
    "sum_conv3x3": decode_sum,
    "sum_conv1x1": decode_sum,
    "concat_conv3x3": decode_concat,
    "concat_yblock": decode_concat_yblock,
    "lraspp": decode_lraspp,
    "sfnet": decode_sfnet,
    "bisenet": decode_bisenet,
}


def dappm(net, low):
    def brc(x, name):
        return net.conv(torch.relu(net.bn(x, f"spp.{name}.bn")), f"spp.{name}.conv")

    def mean_pool(x, kernel, stride):
        """Sums over the window, padding zeros included in the count."""
        ones = torch.ones(x.shape[1], 1, kernel, kernel, dtype=x.dtype)
        return F.conv2d(x, ones, stride=stride, padding=kernel // 2, groups=x.shape[1]) / kernel**2

    scales = [brc(low, "scale0")]
    pools = [mean_pool(low, 5, 2), mean_pool(low, 9, 4), mean_pool(low, 17, 8), low.mean((2, 3), keepdim=True)]
    for i, pooled in enumerate(pools, 1):
        y = up(brc(pooled, f"scale{i}.1"), low.shape[2:])
        scales.append(brc(y + scales[-1], f"process{i}"))
    return brc(torch.cat(scales, 1), "compression") + brc(low, "shortcut")


def ddrnet(net, image):
    def basic(x, name, stride=1, act=True):
        y = torch.relu(net.bn(net.conv(x, f"{name}.conv1", stride), f"{name}.bn1"))
        y = net.bn(net.conv(y, f"{name}.conv2"), f"{name}.bn2")
        if f"{name}.downsample.conv.weight" in net.w:
            x = net.cb(x, f"{name}.downsample", stride)
        return torch.relu(x + y) if act else x + y

    def layer(x, name, stride=1):
        return basic(basic(x, f"{name}.0", stride), f"{name}.1", act=False)

    def bottleneck(x, name, stride=1):
        y = torch.relu(net.bn(net.conv(x, f"{name}.0.conv1"), f"{name}.0.bn1"))
        y = torch.relu(net.bn(net.conv(y, f"{name}.0.conv2", stride), f"{name}.0.bn2"))
        return net.bn(net.conv(y, f"{name}.0.conv3"), f"{name}.0.bn3") + net.cb(x, f"{name}.0.downsample", stride)

    x = net.cbr(net.cbr(image, "conv1.0", 2), "conv1.1", 2)
    x = torch.relu(layer(x, "layer1"))
    x = torch.relu(layer(x, "layer2", 2))
    low, high = layer(x, "layer3", 2), layer(x, "layer3_")
    size8 = high.shape[2:]
    low, high = (
        low + net.cb(torch.relu(high), "down3", 2),
        high + up(net.cb(torch.relu(low), "compression3"), size8),
    )
    low, high = layer(torch.relu(low), "layer4", 2), layer(torch.relu(high), "layer4_")
    low, high = (
        low + net.cb(net.cbr(torch.relu(high), "down4.0", 2), "down4.1", 2),
        high + up(net.cb(torch.relu(low), "compression4"), size8),
    )
    high = bottleneck(torch.relu(high), "layer5_")
    low = bottleneck(torch.relu(low), "layer5", 2)
    x = high + up(dappm(net, low), size8)
    x = net.conv(torch.relu(net.bn(x, "final_layer.bn1")), "final_layer.conv1")
    return net.conv(torch.relu(net.bn(x, "final_layer.bn2")), "final_layer.conv2")


def recompute(key, weights, x):
    net = Net(weights)
    if key == "ddrnet23":
        return up(ddrnet(net, x), x.shape[2:])
    backbone, _, decoder = key.partition("+")
    return up(DECODE[decoder or key](net, *features(net, x, backbone)), x.shape[2:])


@pytest.mark.parametrize("size", [(128, 192), (75, 101)])
@pytest.mark.parametrize("key", AUTHOR_MODELS)
def test_logits_equal_a_second_computation(key, size):
    weights = {name: tensor.double() for name, tensor in author_weights(key).items()}
    model = our_model(key).double()
    regseg.load_weights(model, weights)
    x = image(*size).double()
    with torch.no_grad():
        expected = recompute(key, weights, x)
        logits = model(x)
    assert logits.shape == (1, 19, *size)
    assert relative_difference(logits, expected) < 1e-10
