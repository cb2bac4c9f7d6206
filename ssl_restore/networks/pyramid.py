"""A U-Net at a small size, and the details of the picture: restorers of what is smooth.

    restored = I + up(f(down(I)) - down(I))

down averages the picture to a longest side of `OVERVIEW_PX`, up is bilinear: the small picture
is replaced by its restored one, and the finer levels of the Laplacian pyramid are those of the
picture. What a network changes is haze, light and colour, not detail; a large picture costs little
more than a small one.

References: Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983; Engin, Genc and
Ekenel, "Cycle-Dehaze", CVPR Workshops 2018 (a pyramid for large pictures).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ssl_restore.networks.overview import sampled, shrunk
from ssl_restore.networks.unet import Decoder, Encoder
from ssl_restore.restorer import UPRIGHT, Restorer

OVERVIEW_PX = 256


class Pyramid(Restorer):
    """image (B, 3, H, W) -> restored, the same shape; `maps` are those of `overview`."""

    symmetry = UPRIGHT
    stride, reach = 1, 0
    overview_px = OVERVIEW_PX

    def __init__(self, width: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.multiple = 2 ** len(blocks)
        self.encoder = Encoder(width, blocks)
        self.decoder = Decoder(width, blocks, channels=3)

    def overview(self, small: Tensor) -> Tensor:
        """(B, 3, h, w) -> what is added to it, the same shape."""
        height, width = small.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        padded = F.pad(small, (0, right, 0, down), mode="replicate")
        return self.decoder(self.encoder(padded)).float()[..., :height, :width]

    def forward(self, image: Tensor, maps: Tensor | None = None) -> Tensor:
        if maps is None:
            size = (image.shape[-2], image.shape[-1])
            maps = sampled(self.overview(shrunk(image, OVERVIEW_PX)), size)
        return image + maps


def build(*, width: int = 24, blocks: tuple[int, ...] = (2, 2, 2, 2)) -> Pyramid:
    """`width` channels at half the small size, `blocks` residual blocks a level, finest first."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return Pyramid(width, tuple(blocks))
