"""Residual U-Net on pixel-unshuffled input that predicts the layers of a rainy picture.

    I = t (J + R) + (1 - t) A      V = I - S,   S = t R,      J = (V - (1 - t) A) / t

S is the light of the streaks as it lies in the picture: achromatic, one channel for all three
colours, and never more than the pixel's darkest channel. A colour that was cut off at white has
got less of it, which left dark lines of the opposite colour: V = I - (1 - K) S, with a share K of
every colour, 0 where it is not near white. With `colours`, V = I - (1 - K) S - D, of which D sums
to 0 over the colours: a streak that hides a part of a green ground is magenta, and files keep
colours coarser than light. The restored picture is V. It may have a veil, whose
transmission t and airlight A are smooth: a few convolutions at the resolution of the coarsest
features read them from V and S, for what calibrates rain. Haze may belong to the picture: it is
removed where that is asked for, by the dehazer, which sees more of it.

The picture is first folded by pixel-unshuffle (x2), so that no convolution runs at full
resolution. Every residual block normalises first (pre-activation BatchNorm, He et al. 2016,
arXiv 1603.05027): the statistics are fixed at inference, so that a tile computes exactly what
the whole picture computes. Reference of the model: Li, Cheong and Tan, "Heavy rain image
restoration", CVPR 2019, eq. 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ssl_restore.networks.zeroed import zeroed
from ssl_restore.restorer import UPRIGHT, Restorer

LARGEST_DEPTH = 2.0  # optical, of a veil: what shines through 14 % is not brought back
VEIL_WIDTH, VEIL_BLOCKS = 32, 2
VEIL_FOLD = 8  # pixels, at most
NEAR_WHITE = (0.9, 0.98)  # display values from which a colour may be cut off, and surely may
THOROUGH = 0.5  # unless told otherwise
LEARNED = {"colours": True, "thorough": True}  # keywords of what recipes build
BLOCKS = (2, 2, 2)  # residual blocks a level, finest first
LITTLE = 3.0  # K is sigmoid(-LITTLE) before training


class ResidualBlock(nn.Module):
    """x + conv(relu(bn(conv(relu(bn(x))))));  (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(channels)
        self.conv2 = zeroed(nn.Conv2d(channels, channels, 3, padding=1))  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.relu(self.norm1(x), inplace=True))
        return self.conv2(F.relu(self.norm2(h), inplace=True)).add_(x)  # in place: a third faster

    def fold_norms(self) -> None:
        """Put the second norm into the convolution before it, and leave out the channels between
        the two that the second convolution does not read: for inference alone."""
        if isinstance(self.norm2, nn.BatchNorm2d):
            self.conv1 = fuse_conv_bn_eval(self.conv1, self.norm2)
            self.norm2 = nn.Identity()
            read = self.conv2.weight.detach().abs().amax(dim=(0, 2, 3)) > 0
            read[0] |= ~read.any()  # a convolution has at least one channel
            if not read.all():
                bias = self.conv1.bias
                assert bias is not None  # that of the norm
                self.conv1 = _convolution(self.conv1.weight[read], bias[read])
                self.conv2 = _convolution(self.conv2.weight[:, read], self.conv2.bias)


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """3x3, of such weights (out, in, 3, 3)."""
    outputs, inputs = weight.shape[:2]
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias is not None)
    convolution.weight = nn.Parameter(weight.detach().clone())
    convolution.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return convolution


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(count)])


class Encoder(nn.Module):
    """(B, channels, H, W), and a number it is told for each image (B,), 0 unless given, -> feature
    maps, one a level, finest first: (B, width*2^l, H/2^(l+1), ...)."""

    def __init__(
        self, width: int, blocks: tuple[int, ...], *, channels: int = 3, told: int = 0
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(blocks))]
        self.told = told
        self.stem = nn.Conv2d(4 * channels + told, width, 3, padding=1)
        self.levels = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(
            nn.Conv2d(w, 2 * w, 2, stride=2, bias=False) for w in widths[:-1]
        )

    def forward(self, image: Tensor, told: Tensor | None = None) -> list[Tensor]:
        folded = F.pixel_unshuffle(image, 2)
        if self.told:
            told = image.new_zeros(1) if told is None else told
            told = told.to(folded).view(-1, 1, 1, 1).expand(len(folded), 1, *folded.shape[2:])
            folded = torch.cat([folded, told], dim=1)
        x = self.stem(folded)
        features = []
        for level, blocks in enumerate(self.levels):
            x = blocks(x if level == 0 else self.downs[level - 1](x))
            features.append(x)
        return features


class Decoder(nn.Module):
    """The encoder's feature maps -> (B, channels, H, W), zero before training."""

    def __init__(self, width: int, blocks: tuple[int, ...], channels: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(blocks))]
        self.ups = nn.ModuleList(nn.Conv2d(2 * w, 4 * w, 1, bias=False) for w in widths[:-1])
        self.levels = nn.ModuleList(
            _blocks(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.norm = nn.BatchNorm2d(width)
        # An untrained restorer returns its input.
        self.head = zeroed(nn.Conv2d(width, 4 * channels, 3, padding=1))

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for up, blocks, skip in zip(
            reversed(self.ups), reversed(self.levels), reversed(features[:-1]), strict=True
        ):
            x = blocks(F.pixel_shuffle(up(x), 2).add_(skip))
        return F.pixel_shuffle(self.head(F.relu(self.norm(x))), 2)


class VeilEstimator(nn.Module):
    """V and S, (B, 4, H, W), folded by `fold`, -> optical depth (B, 1, H, W) and A (B, 3, H, W).

    A depth below 0 means none: an estimate that only errs to one side could not be learned.
    """

    def __init__(self, fold: int) -> None:
        super().__init__()
        self.fold = fold
        self.stem = nn.Conv2d(4 * fold**2, VEIL_WIDTH, 1)
        self.blocks = _blocks(VEIL_WIDTH, VEIL_BLOCKS)
        self.norm = nn.BatchNorm2d(VEIL_WIDTH)
        self.head = zeroed(nn.Conv2d(VEIL_WIDTH, 4, 1))  # an untrained restorer sees no veil
        self.reach = fold * (2 * VEIL_BLOCKS + 2)

    def forward(self, layers: Tensor) -> tuple[Tensor, Tensor]:
        x = self.blocks(self.stem(F.pixel_unshuffle(layers, self.fold)))
        coarse = self.head(F.relu(self.norm(x))).float()
        predicted = torch.cat([coarse[:, :1], torch.sigmoid(coarse[:, 1:] + 1)], dim=1)
        smooth = F.interpolate(predicted, scale_factor=float(self.fold), mode="bilinear")
        return smooth[:, :1], smooth[:, 1:]


class RainUNet(Restorer):
    """image (B, 3, H, W), sides multiples of `stride`, -> V, the same shape."""

    symmetry = UPRIGHT
    layer_names = ("clean", "rain", "transmission", "optical_depth", "airlight")

    def __init__(
        self,
        width: int,
        blocks: tuple[int, ...],
        *,
        colours: bool = False,
        thorough: bool = False,
    ) -> None:
        super().__init__()
        self.thorough = THOROUGH if thorough else None
        self.encoder = Encoder(width, blocks, told=int(thorough))
        self.decoder = Decoder(width, blocks, channels=1 + 3 + 3 * colours)
        self.stride = 2 ** len(blocks)
        self.reach = reach(blocks)
        self.veil = VeilEstimator(min(VEIL_FOLD, self.stride))

    def features(self, image: Tensor, thorough: Tensor | None = None) -> list[Tensor]:
        """Of the encoder, finest first: (B, width 2^l, H / 2^(l+1), W / 2^(l+1))."""
        if self.thorough is not None:
            thorough = image.new_tensor([self.thorough]) if thorough is None else thorough
            thorough = 2 * thorough - 1
        maps: list[Tensor] = self.encoder(image, thorough)
        return maps

    def streaks(
        self,
        image: Tensor,
        thorough: Tensor | None = None,
        features: list[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """S (B, 1, H, W), display units, and V (B, 3, H, W); of its `features`, if known."""
        if features is None:
            features = self.features(image, thorough)
        predicted = self.decoder(features).float()
        rain = torch.minimum(predicted[:, :1], image.amin(dim=1, keepdim=True))
        start, end = NEAR_WHITE
        white = ((image - start) / (end - start)).clamp(0, 1)
        kept = white * torch.sigmoid(predicted[:, 1:4] - LITTLE)
        clean = image - (1 - kept) * rain
        colour = predicted[:, 4:]
        if colour.shape[1]:
            clean = clean - (colour - colour.mean(dim=1, keepdim=True))
        return rain, clean

    def rain(self, image: Tensor) -> Tensor:
        """S (B, 1, H, W), display units."""
        return self.streaks(image)[0]

    def forward(self, image: Tensor) -> Tensor:
        return self.streaks(image)[1]

    @property
    def layers_reach(self) -> int:
        return self.reach + self.veil.reach

    def layers(self, image: Tensor, thorough: Tensor | None = None) -> dict[str, Tensor]:
        """`clean` V, `rain` S, and of the veil `transmission` t, `optical_depth` -ln t as predicted
        (below 0: none) and `airlight` A; the veil's gradient does not reach the streaks."""
        rain, clean = self.streaks(image, thorough)
        depth, airlight = self.veil(torch.cat([clean, rain], dim=1).detach())
        return {
            "clean": clean,
            "rain": rain,
            "transmission": (-depth.clamp(0, LARGEST_DEPTH)).exp(),
            "optical_depth": depth,
            "airlight": airlight,
        }


def deepest_channels(width: int, blocks: tuple[int, ...] = BLOCKS) -> int:
    """Channels of the coarsest feature map of an encoder."""
    return width * 2 ** (len(blocks) - 1)


def reach(blocks: tuple[int, ...]) -> int:
    """Pixels that one output pixel can see to any side: the margin that makes tiles exact."""
    convolutions = [2 * (2 * count) for count in blocks]  # encoder and decoder, two a block
    convolutions[-1] //= 2  # the coarsest level has no decoder
    convolutions[0] += 2  # stem and head
    stride = 2 ** len(blocks)
    return sum(n * 2 ** (level + 1) for level, n in enumerate(convolutions)) + stride


def build(
    *,
    width: int = 24,
    blocks: tuple[int, ...] = BLOCKS,
    colours: bool = False,
    thorough: bool = False,
) -> RainUNet:
    """`width` channels at half resolution, `blocks` residual blocks a level, finest first, whether
    streaks have `colours`, and whether it can be told how `thorough` to be."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if not blocks or min(blocks) < 1:
        raise ValueError(f"blocks must be at least 1 a level, got {blocks}")
    return RainUNet(width, tuple(blocks), colours=colours, thorough=thorough)
