"""Modulated deformable convolution, 3 x 3: its taps look where the picture says.

    y(p) = b + sum_k w_k m_k(p) x(p + k + o_k(p))

x between pixels is bilinear and zero outside; k runs over the nine taps. A plain convolution of the
same x predicts the offsets o, which stay within `LARGEST_PX`, so that the receptive field is
finite, and the modulation m, from 0 to 2. It starts at zero, where y is that of a convolution.

A tap is a sum of four pixels, found by whole numbers: its shares come from the offset alone, so
that a tile gives the same bits as the picture, where a grid in coordinates of the picture would
round differently. One tap is taken at a time, which needs little memory, and no extension has to
be compiled; `torchvision.ops.deform_conv2d` gives the same and is slower on a CPU.

References: Dai et al., "Deformable convolutional networks", ICCV 2017; Zhu et al., "Deformable
ConvNets v2: more deformable, better results", CVPR 2019 (modulation).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.zeroed import zeroed

LARGEST_PX = 4  # of an offset along either axis, in pixels of the features
TAPS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


def deformable_convolution(x: Tensor, weight: Tensor, offset: Tensor, modulation: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, D, H, W), without a bias.

    Args:
        x: Features.
        weight: (D, C, 3, 3).
        offset: (B, 18, H, W), down and right of each tap in turn, pixels.
        modulation: (B, 9, H, W).
    """
    batch, _, height, width = x.shape
    precise = torch.promote_types(x.dtype, torch.float32)  # places need more digits than bfloat16
    pixels = x.permute(0, 2, 3, 1).flatten(0, 2).to(precise)
    offset, modulation = offset.to(precise), modulation.to(precise)
    first = height * width * torch.arange(batch, device=x.device)[:, None, None]
    total: Tensor | None = None
    for number, (row, column) in enumerate(TAPS):
        down = _neighbours(offset[:, 2 * number] + row, dim=1)
        right = _neighbours(offset[:, 2 * number + 1] + column, dim=2)
        indices = [first + width * i + j for i, _ in down for j, _ in right]
        shares = [a * b * modulation[:, number] for _, a in down for _, b in right]
        sampled = F.embedding_bag(
            torch.stack(indices, dim=-1).flatten(0, 2), pixels, mode="sum",
            per_sample_weights=torch.stack(shares, dim=-1).flatten(0, 2),
        )  # fmt: skip
        part = F.linear(sampled, weight[:, :, row + 1, column + 1]).to(precise)
        total = part if total is None else total + part
    assert total is not None
    return total.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _neighbours(away: Tensor, dim: int) -> list[tuple[Tensor, Tensor]]:
    """Of each pixel of (B, H, W), the two between which the place lies that is so far `away` along
    an axis: their numbers on it, and their shares, 0 for those outside."""
    side = away.shape[dim]
    own = torch.arange(side, device=away.device).view((-1, 1) if dim == 1 else (-1,))
    before = away.floor()
    share = away - before
    found = []
    for step, weight in ((0, 1 - share), (1, share)):
        place = own + before.long() + step
        inside = (place >= 0) & (place < side)
        found.append((place.clamp(0, side - 1), weight * inside))
    return found


class DeformableConv2d(nn.Module):
    """(B, C, H, W) -> the same shape; an output pixel sees `reach` pixels to any side."""

    reach = 1 + LARGEST_PX

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.taps = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.taps.weight, nonlinearity="linear")
        self.predict = zeroed(nn.Conv2d(channels, 3 * len(TAPS), 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        predicted = self.predict(x).to(torch.promote_types(x.dtype, torch.float32))
        offset, modulation = predicted.split([2 * len(TAPS), len(TAPS)], dim=1)
        offset = LARGEST_PX * torch.tanh(offset / LARGEST_PX)
        y = deformable_convolution(x, self.taps.weight, offset, 2 * torch.sigmoid(modulation))
        assert self.taps.bias is not None
        return y + self.taps.bias[:, None, None]
