"""Residual U-Net on pixel-unshuffled input that predicts the rain layer.

    R = min(decode(encode(I)), I),   restored = I - R

The picture is first folded by pixel-unshuffle (x2), so that no convolution runs at full
resolution. Every residual block normalises first (pre-activation BatchNorm, He et al. 2016,
arXiv 1603.05027): the statistics are fixed at inference, so that a tile computes exactly what
the whole picture computes. A rain layer is achromatic: one output channel is subtracted from
all three (`rain_channels=3` lifts that).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ResidualBlock(nn.Module):
    """x + conv(relu(bn(conv(relu(bn(x))))));  (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # each block starts as the identity
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.relu(self.norm1(x), inplace=True))
        return self.conv2(F.relu(self.norm2(h), inplace=True)).add_(x)  # in place: a third faster


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(count)])


class Encoder(nn.Module):
    """(B, 3, H, W) -> a feature map a level, finest first: (B, width*2^l, H/2^(l+1), ...)."""

    def __init__(self, width: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(blocks))]
        self.stem = nn.Conv2d(3 * 4, width, 3, padding=1)
        self.levels = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(
            nn.Conv2d(w, 2 * w, 2, stride=2, bias=False) for w in widths[:-1]
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(F.pixel_unshuffle(image, 2))
        features = []
        for level, blocks in enumerate(self.levels):
            x = blocks(x if level == 0 else self.downs[level - 1](x))
            features.append(x)
        return features


class Decoder(nn.Module):
    """The encoder's feature maps -> rain layer (B, rain_channels, H, W)."""

    def __init__(self, width: int, blocks: tuple[int, ...], rain_channels: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(blocks))]
        self.ups = nn.ModuleList(nn.Conv2d(2 * w, 4 * w, 1, bias=False) for w in widths[:-1])
        self.levels = nn.ModuleList(
            _blocks(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, 4 * rain_channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)  # an untrained restorer returns its input
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for up, blocks, skip in zip(
            reversed(self.ups), reversed(self.levels), reversed(features[:-1]), strict=True
        ):
            x = blocks(F.pixel_shuffle(up(x), 2).add_(skip))
        return F.pixel_shuffle(self.head(F.relu(self.norm(x))), 2)


class RainUNet(nn.Module):
    """restored = image - rain(image);  image (B, 3, H, W), sides multiples of `stride`."""

    def __init__(self, width: int, blocks: tuple[int, ...], rain_channels: int) -> None:
        super().__init__()
        self.encoder = Encoder(width, blocks)
        self.decoder = Decoder(width, blocks, rain_channels)
        self.stride = 2 ** len(blocks)
        self.reach = _reach(blocks)

    def rain(self, image: Tensor) -> Tensor:
        """Rain layer (B, rain_channels, H, W), display units.

        Rain adds light, so no more than its darkest channel can be taken from a pixel: R <= I.
        """
        rain = self.decoder(self.encoder(image)).float()
        most = image.amin(dim=1, keepdim=True) if rain.shape[1] == 1 else image
        return torch.minimum(rain, most)

    def forward(self, image: Tensor) -> Tensor:
        return image - self.rain(image)

    def folded(self) -> RainUNet:
        """The same restorer, for inference only, with each block's second norm in a convolution."""
        copied = copy.deepcopy(self).eval()
        for block in copied.modules():
            if isinstance(block, ResidualBlock):
                block.conv1 = fuse_conv_bn_eval(block.conv1, block.norm2)
                block.norm2 = nn.Identity()  # type: ignore[assignment]
        return copied


def deepest_channels(restorer: nn.Module) -> int:
    """Channels of the encoder's coarsest feature map."""
    return int(restorer.encoder.levels[-1][0].conv2.out_channels)  # type: ignore


def _reach(blocks: tuple[int, ...]) -> int:
    """Pixels that one output pixel can see to any side: the margin that makes tiles exact."""
    convolutions = [2 * (2 * count) for count in blocks]  # encoder and decoder, two a block
    convolutions[-1] //= 2  # the coarsest level has no decoder
    convolutions[0] += 2  # stem and head
    stride = 2 ** len(blocks)
    return sum(n * 2 ** (level + 1) for level, n in enumerate(convolutions)) + stride


def build(
    *, width: int = 24, blocks: tuple[int, ...] = (2, 2, 2), rain_channels: int = 1
) -> nn.Module:
    """`width` channels at half resolution, `blocks` residual blocks a level, finest first."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return RainUNet(width, tuple(blocks), rain_channels)
