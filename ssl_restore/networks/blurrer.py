"""Blur apart from content: a code of how a picture is blurred, and decoders that blur by a code.

    code       z ~ N(mean, exp(log_variance)) of a blurred picture
    network    J + D(E(J), z)
    camera     disc(z) * way(z) * J + sigma(z) noise,     sums of light, noise of display values

Of the network, E is the content encoder of sharp pictures. The convolutions of its deepest level
are those of the content encoder of blurred ones, which belongs to the restorer; the norms are its
own. The code is a few numbers for the whole picture, so there is little room for content in it; it
scales and shifts the channels of the content at every level. Untrained, nothing is blurred.

Of the camera, the code becomes a way during the exposure, a disc of defocus and a strength of
noise: whatever the code, the picture keeps its content, and blur is all that can be learned.

No `build` here: that is for restorers. References: Lu, Chen and Chellappa, "Unsupervised
domain-specific deblurring via disentangled representations", CVPR 2019, arXiv 1903.01594; Perez et
al., "FiLM: visual reasoning with a general conditioning layer", AAAI 2018 (scale and shift);
`degradations/shake.py` and `blur.py` (camera).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations.blur import BlurParams, blur
from degradations.shake import ShakeParams, shake
from ssl_restore.networks.unet import Decoder, Encoder, deepest_channels
from ssl_restore.networks.zeroed import zeroed

CODE = 8  # numbers
BLOCKS = (1, 1, 1)  # residual blocks a level of the blur encoder
POINTS = 8  # of the way of a camera
REACH_PX, RADIUS_PX, SIGMA = 16.0, 8.0, 0.1  # at most, of its way to any side, disc and noise
START = (-2.0, -3.0)  # of disc and noise, before the sigmoid: 1 px and 0.005
HIDDEN = 64


class BlurEncoder(nn.Module):
    """Blurred pictures (B, 3, H, W), sides multiples of 8, -> mean, log variance (B, CODE).

    Untrained, the code is normal whatever the picture.
    """

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


class NetworkBlurrer(nn.Module):
    """Sharp pictures (B, 3, H, W), codes (B, CODE) -> blurred ones, the same shape; without noise.

    Args:
        content: Content encoder of blurred pictures: E has its form.
    """

    keeps_content = False

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

    def forward(self, image: Tensor, code: Tensor, noise: Tensor | None = None) -> Tensor:
        maps = []
        for features, modulation in zip(self.content(image), self.modulations, strict=True):
            scale, shift = modulation(code)[..., None, None].chunk(2, dim=1)
            maps.append((1 + scale) * features + shift)
        return image + self.decoder(maps).float()


class CameraBlurrer(nn.Module):
    """Sharp pictures (B, 3, H, W), codes (B, CODE) and normal noise, if any -> the same shape."""

    keeps_content = True

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(CODE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * POINTS + len(START))
        )

    def forward(self, image: Tensor, code: Tensor, noise: Tensor | None = None) -> Tensor:
        way, disc, sigma = self.physics(code, min(image.shape[-2:]))
        with torch.autocast(image.device.type, enabled=False):
            blurred = blur(shake(image, way), disc)
        return blurred if noise is None else blurred + sigma.view(-1, 1, 1, 1) * noise

    def physics(self, code: Tensor, side: int) -> tuple[ShakeParams, BlurParams, Tensor]:
        """Way and disc, which stay within a picture of that side (px), and sigma (B,)."""
        predicted = self.net(code).float()
        way = min(REACH_PX, side / 2) * torch.tanh(predicted[:, : 2 * POINTS] / 2)
        x, y = way.chunk(2, dim=1)
        radius, sigma = torch.sigmoid(predicted[:, 2 * POINTS :] + predicted.new_tensor(START)).T
        none = torch.zeros_like(radius)
        disc = BlurParams(none, min(RADIUS_PX, side / 4) * radius, none, none)
        x, y = (places - places.mean(dim=1, keepdim=True) for places in (x, y))
        return ShakeParams(x, y), disc, SIGMA * sigma
