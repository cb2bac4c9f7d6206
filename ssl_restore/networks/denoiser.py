"""Residual U-Net on pixel-unshuffled input that predicts the noise of a picture.

    restored = I - N(I)

The encoder and decoder are those of `unet`, but the noise has a sign and three colours. Blind: the
strength of the noise is read from the picture. Reference: Zhang et al., "Beyond a Gaussian
denoiser: residual learning of deep CNN for image denoising", IEEE TIP 2017 (residual learning).
"""

from __future__ import annotations

from torch import Tensor

from ssl_restore.networks.unet import Decoder, Encoder, reach
from ssl_restore.restorer import Restorer

BLOCKS = (2, 2, 4)  # residual blocks a level, finest first


class Denoiser(Restorer):
    """image (B, 3, H, W), sides multiples of `stride`, -> restored, the same shape."""

    def __init__(self, width: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = Encoder(width, blocks)
        self.decoder = Decoder(width, blocks, channels=3)
        self.stride = 2 ** len(blocks)
        self.reach = reach(blocks)

    def forward(self, image: Tensor) -> Tensor:
        return image - self.decoder(self.encoder(image)).float()


def build(*, width: int = 32, blocks: tuple[int, ...] = BLOCKS) -> Denoiser:
    """`width` channels at half resolution, `blocks` residual blocks a level, finest first."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if not blocks or min(blocks) < 1:
        raise ValueError(f"blocks must be at least 1 a level, got {blocks}")
    return Denoiser(width, tuple(blocks))
