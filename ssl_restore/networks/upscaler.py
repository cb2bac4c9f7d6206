"""Super-resolution by residual blocks at the size of the input and a pixel shuffle at the end.

    restored = cubic(I) + shuffle(N(I))

All convolutions run at the small size, where they cost least; there is no norm, which would change
the contrast of single pictures. Untrained it is cubic interpolation (a = -0.75, as OpenCV's).

References: Shi et al., "Real-time single image and video super-resolution using an efficient
sub-pixel convolutional neural network", CVPR 2016 (shuffle); Lim et al., "Enhanced deep residual
networks for single image super-resolution", CVPRW 2017 (blocks without norms).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.zeroed import zeroed
from ssl_restore.restorer import Restorer

SCALES = (2, 3, 4)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x)));  (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.conv1.weight)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu(self.conv1(x), inplace=True)).add_(x)


class Upscaler(Restorer):
    """image (B, 3, H, W) -> (B, 3, scale H, scale W)."""

    stride = 1

    def __init__(self, width: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.reach = 2 * blocks + 2
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])
        self.head = zeroed(nn.Conv2d(width, 3 * scale**2, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        details = F.pixel_shuffle(self.head(self.blocks(self.stem(image))), self.scale)
        return enlarged(image, self.scale) + details.float()


def enlarged(image: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, scale H, scale W) by cubic interpolation, not clamped."""
    return F.interpolate(image.float(), scale_factor=float(scale), mode="bicubic")


def build(*, width: int = 48, blocks: int = 8, scale: int = 2) -> Upscaler:
    """`width` channels in `blocks` residual blocks; `scale` is 2, 3 or 4."""
    if blocks < 1:
        raise ValueError(f"blocks must be at least 1, got {blocks}")
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if scale not in SCALES:
        raise ValueError(f"scale must be 2, 3 or 4, got {scale}")
    return Upscaler(width, blocks, scale)
