"""A denoiser that never sees the pixel it predicts, for noise that neighbouring pixels share.

    x0 = merge(f(split(I, b)))
    restored = mean over masks m of f(m I + (1 - m) x0)

f predicts every pixel from the pixels around it without the pixel itself: one convolution of 3 x 3
and one of 5 x 5 are masked at their centres, and behind them come dilated convolutions, by 2 and by
3, whose steps never lead back to the centre. Where noise is independent from pixel to pixel, f can
only learn the scene. Correlated noise is made so by pixel-shuffle down-sampling (`split`): with a
large step where f learns (`objectives/blind_spot.py`), with a small one, b, where it restores,
because a large one folds fine texture over. What is restored is then refined: in a share of its
pixels it becomes the noisy picture again, which is restored as it is, and the mean over all choices
of these pixels is taken. f starts as the mean of the 8 neighbours.

The published choice of these pixels is random. Here it is periodic, so that tiles are exact, and
each pixel is chosen once at most. Reference: Lee, Son and Lee, "AP-BSN: self-supervised denoising
for real-world images via asymmetric PD and blind-spot network", CVPR 2022.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.shuffled import merge, split
from ssl_restore.networks.zeroed import zeroed
from ssl_restore.restorer import Restorer

PERIOD_PX = 4  # of the masks
MASKS = 8  # each of 2 of the 16 pixels of a period


class MaskedConv(nn.Conv2d):
    """A convolution whose output does not depend on the pixel at its own place."""

    mask: Tensor

    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__(channels, width, side, padding=side // 2)
        mask = torch.ones(side, side)
        mask[side // 2, side // 2] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class DilatedBlock(nn.Module):
    """x + conv1x1(relu(conv3x3(x))), the second dilated;  (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.point = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.point(F.relu(self.dilated(x)))


def _branch(width: int, blocks: int, side: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        MaskedConv(width, width, side),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
        nn.ReLU(),
        *[DilatedBlock(width, dilation) for _ in range(blocks)],
        nn.Conv2d(width, width, 1),
        nn.ReLU(),
    )


class BlindSpot(Restorer):
    """image (B, 3, H, W), sides multiples of `stride`, -> restored, the same shape.

    `learned`, a buffer, is the share of what f restores in the result: 0 before training, so that
    an untrained network returns its input, and 1 from then on.
    """

    learned: Tensor
    around: Tensor

    def __init__(self, width: int, blocks: int, shuffle: int, refinements: int) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.refinements = refinements
        self.stem = nn.Conv2d(3, width, 1)
        self.branches = nn.ModuleList(
            [_branch(width, blocks, 3, 2), _branch(width, blocks, 5, 3)]
        )  # fmt: skip
        self.join = nn.Conv2d(2 * width, width, 1)
        self.head = zeroed(nn.Conv2d(width, 3, 1))
        around = torch.ones(3, 1, 3, 3)
        around[:, :, 1, 1] = 0
        self.register_buffer("around", around, persistent=False)
        self.register_buffer("learned", torch.zeros(()))
        reach = 2 + 3 * blocks
        self.stride = math.lcm(PERIOD_PX, shuffle) if refinements else shuffle
        self.reach = shuffle * reach + shuffle - 1 + (reach if refinements else 0)

    def predict(self, image: Tensor) -> Tensor:
        """f: every pixel of (B, 3, H, W) from those around it."""
        x = F.relu(self.stem(image))
        seen = torch.cat([branch(x) for branch in self.branches], dim=1)
        return self._neighbours(image) + self.head(F.relu(self.join(seen))).float()

    def _neighbours(self, image: Tensor) -> Tensor:
        """The mean of the 8 neighbours, of those that there are."""
        inside = torch.ones_like(image[:1])
        total, count = (F.conv2d(x, self.around, padding=1, groups=3) for x in (image, inside))
        return total / count.clamp_min(1)

    def forward(self, image: Tensor) -> Tensor:
        restored = merge(self.predict(split(image, self.shuffle)), self.shuffle)
        if self.refinements:
            height, width = image.shape[2:]
            numbers = _mask_numbers(height, width).to(image.device)
            first, restored = restored, torch.zeros_like(image)
            for mask in range(self.refinements):
                mixed = torch.where(numbers == mask, image, first)
                restored = restored + self.predict(mixed) / self.refinements
        return torch.lerp(image, restored.to(image), self.learned.to(image))


def _mask_numbers(height: int, width: int) -> Tensor:
    """(H, W): the number of the mask, 0 to 7, that each pixel belongs to."""
    row, column = torch.arange(PERIOD_PX).view(-1, 1), torch.arange(PERIOD_PX)
    cell = (4 * row + column + 2 * (row // 2)) % MASKS
    return cell.repeat(-(-height // PERIOD_PX), -(-width // PERIOD_PX))[:height, :width]


def build(*, width: int = 32, blocks: int = 6, shuffle: int = 2, refinements: int = 4) -> BlindSpot:
    """`width` channels, `blocks` dilated ones in each of the two branches, the step `shuffle` of
    the pixels that are restored together, and the number of masks of the `refinements`, 0 to 8."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if blocks < 1:
        raise ValueError(f"blocks must be at least 1, got {blocks}")
    if shuffle < 1:
        raise ValueError(f"shuffle must be at least 1, got {shuffle}")
    if not 0 <= refinements <= MASKS:
        raise ValueError(f"refinements must be from 0 to {MASKS}, got {refinements}")
    return BlindSpot(width, blocks, shuffle, refinements)
