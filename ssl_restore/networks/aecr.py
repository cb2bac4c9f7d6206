"""AECR-Net: a compact auto-encoder for haze that works at a quarter of the size of the picture.

    restored = I + head(up(mix(half, up(mix(quarter, F)))))
    half = down(stem(2 I - 1)),   quarter = down(half),   F = deformable^2(attention^6(quarter))
    mix(a, b) = sigmoid(theta) a + (1 - sigmoid(theta)) b

Six feature-attention blocks and two deformable convolutions, each of one set of weights that is
applied again and again, which is what makes it compact: 2.6 million parameters at the default
width. An attention block weighs channels and pixels,

    h = conv(relu(conv(x)) + x),   h <- h sigmoid(c(mean h)),   y = x + h sigmoid(p(h))

It differs from the publication so that tiles are exact: the mean that weighs the channels is over
a window of 36 pixels around each pixel, as far as it lies in the picture, in place of the whole
picture, and offsets are bounded by 16 pixels. So the receptive field is finite, and patches and
pictures of any size are weighed alike (Chu et al., "Improving image restoration by revisiting
global information aggregation", ECCV 2022). The reflection at the borders lies within the receptive
field. What is predicted is added to the picture; untrained it is zero.

References: Wu et al., "Contrastive learning for compact single image dehazing", CVPR 2021; Qin et
al., "FFA-Net: feature fusion attention network for single image dehazing", AAAI 2020 (attention).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations.depth import box_mean
from ssl_restore.networks.deformable import DeformableConv2d
from ssl_restore.networks.zeroed import zeroed
from ssl_restore.restorer import UPRIGHT, Restorer

QUARTER = 4  # pixels of the picture to one of the coarsest features
RADIUS = 4  # of the window of the channel attention, in pixels of the coarsest features
BLOCKS, DEFORMABLE = 6, 2  # times that each is applied
BORDER = 3  # of the 7 x 7 convolutions
SQUEEZE, FEWEST = 8, 8  # channels over those between the two layers of an attention, and the least
MIX_START = -1.0  # theta: a quarter comes from the encoder


class FeatureAttention(nn.Module):
    """(B, C, H, W) -> the same shape."""

    reach = 2 + RADIUS

    def __init__(self, channels: int) -> None:
        super().__init__()
        fewer = max(FEWEST, channels // SQUEEZE)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.of_channels = _two_layers(channels, fewer, channels)
        self.of_pixels = _two_layers(channels, fewer, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x), inplace=True) + x)
        h = h * torch.sigmoid(self.of_channels(box_mean(h, RADIUS)))
        return x + h * torch.sigmoid(self.of_pixels(h))


def _two_layers(channels: int, between: int, out: int) -> nn.Sequential:
    """A perceptron at each pixel."""
    return nn.Sequential(
        nn.Conv2d(channels, between, 1), nn.ReLU(inplace=True), nn.Conv2d(between, out, 1)
    )


class CompactDehazer(Restorer):
    """image (B, 3, H, W), sides multiples of 4, -> restored, the same shape."""

    symmetry = UPRIGHT
    stride = QUARTER
    reach = 4 * BORDER + QUARTER * (
        BLOCKS * FeatureAttention.reach + DEFORMABLE * DeformableConv2d.reach
    )

    def __init__(self, width: int) -> None:
        super().__init__()
        half, quarter = 2 * width, 4 * width
        self.stem = nn.Conv2d(3, width, 7)
        self.down1 = nn.Conv2d(width, half, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.attention = FeatureAttention(quarter)
        self.deformable = DeformableConv2d(quarter)
        self.up1 = nn.ConvTranspose2d(quarter, half, 3, stride=2, padding=1, output_padding=1)
        self.up2 = nn.ConvTranspose2d(half, width, 3, stride=2, padding=1, output_padding=1)
        self.head = zeroed(nn.Conv2d(width, 3, 7))
        self.theta = nn.Parameter(torch.full((2,), MIX_START))  # of the quarter and of the half
        for layer in (self.stem, self.down1, self.down2, self.up1, self.up2):
            _keep_variance(layer)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.stem(_reflected(2 * image - 1)), inplace=True)
        half = F.relu(self.down1(x), inplace=True)
        x = quarter = F.relu(self.down2(half), inplace=True)
        for _ in range(BLOCKS):
            x = self.attention(x)
        for _ in range(DEFORMABLE):
            x = self.deformable(x)
        coarse, fine = torch.sigmoid(self.theta)
        x = F.relu(self.up1(coarse * quarter + (1 - coarse) * x), inplace=True)
        x = F.relu(self.up2(fine * half + (1 - fine) * x), inplace=True)
        return image + self.head(_reflected(x)).float()


def _keep_variance(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """He's initialisation; an output of a transposed convolution sees a part of its taps."""
    taps = layer.weight[0, 0].numel() / (layer.stride[0] ** 2 if layer.transposed else 1)
    nn.init.normal_(layer.weight, std=(2 / (layer.in_channels * taps)) ** 0.5)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def _reflected(x: Tensor) -> Tensor:
    return F.pad(x, (BORDER,) * 4, mode="reflect")


def build(*, width: int = 64) -> CompactDehazer:
    """`width` channels at the size of the picture, four times as many at a quarter of it."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return CompactDehazer(width)
