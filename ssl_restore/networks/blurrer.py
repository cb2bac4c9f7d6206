"""Blur apart from content: a code of how a picture is blurred, and a network that blurs by a code.

    z ~ N(mean, exp(log_variance)) of a blurred picture,     blurred = J + D(E(J), z)

E is the content encoder of sharp pictures. The convolutions of its deepest level are those of the
content encoder of blurred ones, which belongs to the restorer; the norms are its own. The code is a
few numbers for the whole picture, so there is little room for content in it; it scales and shifts
the channels of the content at every level. Untrained, the code is normal whatever the picture, and
nothing is blurred.

No `build` here: that is for restorers. References: Lu, Chen and Chellappa, "Unsupervised
domain-specific deblurring via disentangled representations", CVPR 2019, arXiv 1903.01594; Perez et
al., "FiLM: visual reasoning with a general conditioning layer", AAAI 2018 (scale and shift).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.unet import Decoder, Encoder, deepest_channels
from ssl_restore.networks.zeroed import zeroed

CODE = 8  # numbers
BLOCKS = (1, 1, 1)  # residual blocks a level of the blur encoder


class BlurEncoder(nn.Module):
    """Blurred pictures (B, 3, H, W), sides multiples of 8, -> mean, log variance (B, CODE)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"the blur encoder's width must be at least 1, got {width}")
        channels = deepest_channels(width, BLOCKS)
        self.encoder = Encoder(width, BLOCKS)
        self.norm = nn.BatchNorm2d(channels)
        self.head = zeroed(nn.Linear(channels, 2 * CODE))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps = F.relu(self.norm(self.encoder(image)[-1]))
        mean, log_variance = self.head(maps.mean(dim=(2, 3))).float().chunk(2, dim=1)
        return mean, log_variance


class Blurrer(nn.Module):
    """Sharp pictures (B, 3, H, W) and codes (B, CODE) -> blurred ones, the same shape.

    Args:
        content: Content encoder of blurred pictures: E has its form.
    """

    def __init__(self, content: Encoder) -> None:
        super().__init__()
        levels = [list(level.children()) for level in content.levels]
        width, blocks = content.stem.out_channels, tuple(map(len, levels))
        self.content = Encoder(width, blocks)
        for own, given in zip(self.content.levels[-1].children(), levels[-1], strict=True):
            own.conv1, own.conv2 = given.conv1, given.conv2
        self.modulations = nn.ModuleList(
            nn.Linear(CODE, 2 * width * 2**level) for level in range(len(blocks))
        )
        self.decoder = Decoder(width, blocks, channels=3)

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        maps = []
        for features, modulation in zip(self.content(image), self.modulations, strict=True):
            scale, shift = modulation(code)[..., None, None].chunk(2, dim=1)
            maps.append((1 + scale) * features + shift)
        return image + self.decoder(maps).float()
