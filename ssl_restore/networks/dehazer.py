"""Haze removal from one look at the whole picture: its distances at a small size, then every pixel.

    J = I + (1/t - 1) (I - A),     1/t - 1 = exp(tau) - 1,     tau = a . I + b

A U-Net sees the picture and its dark channels at a small size, because how much haze there is can
only be told from all of it, and predicts at half of that the optical depth tau and where the
airlight A is to be seen. A guided filter then makes tau a locally linear function of the colours,
whose coefficients a and b are smooth: brought up to the full size, they give it the edges of the
full picture, from which what varies as little as noise and the blocks of JPEG is smoothed away.
What a picture costs beyond the look is a few operations a pixel.

    logit A = logit(sum of w I) + offset,     w = softmax of a score over all pixels
    tau     = (1 - s) own + s dark channel,   s = trust sigmoid(a map)

The network weighs its own estimate against that of the dark channel prior, which is right where
some colour is dark nearby; its trust in it starts at 0. Once trained, it leaves haze on what would
come out too dark under a hazy sky (`kept_light`).

References: Koschmieder, 1924; He, Sun and Tang, "Single image haze removal using dark channel
prior", PAMI 2011, and "Guided image filtering", PAMI 2013; Jiang et al., "Fog density estimation
and image defogging based on surrogate modeling for optical depth", TIP 2017 (tolerance for the
sky); Gharbi et al., "Deep bilateral learning for real-time image enhancement", SIGGRAPH 2017
(coefficients at a small size); Wu, Zheng, Zhang and Huang, "Fast end-to-end trainable guided
filter", CVPR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.guided import linear_in_colour, smoothed
from ssl_restore.networks.kept_light import less_depth
from ssl_restore.networks.overview import maps_of, sampled, shrunk, square_means
from ssl_restore.networks.unet import Decoder, Encoder
from ssl_restore.networks.zeroed import zeroed
from ssl_restore.restorer import UPRIGHT, Restorer

OVERVIEW_PX = 256  # longest side of the look at the whole picture
FOLD = 2  # pixels of the look to a side of one of the prediction
DEPTHS = (0.0, 2.6)  # optical, of which haze is removed: 7 % of the light has arrived
TOLERANCE = 0.3  # display units
AIR_IN_DARKEST = 0.9  # most that haze may be of a pixel's darkest channel
NOISE_FOLD, NOISE_RADIUS, NOISE_EPS = 4, 2, 1e-3  # what varies less has no part in tau
GUIDE_PX, GUIDE_EPS = 3, 2e-4
CLEAR, FARTHEST = 0.1, 0.9  # optical depth, quantile, below which it is said that there is no haze
HIDDEN = 64
SHARPNESS = 10.0  # of the score: a predicted map changes by about one
DARKEST = 0.02  # of the airlight, and as far from white
DARK_PX = (7, 15, 31)  # of the look: wider windows see beyond white things
OMEGA, LEAST = 0.95, 0.07  # of the dark channel
DARK_GUIDE_PX, DARK_GUIDE_EPS = 12, 1e-3
SCORE_PX = 4  # of the prediction: squares over which the score of the airlight is even


class Dehazer(Restorer):
    """image (B, 3, H, W) -> J, the same shape; `maps` are those of `overview`.

    Args:
        width: Channels at the finest level.
        blocks: Residual blocks of each level, finest first.
        keep_light: Leave haze on what would come out too dark; a veil goes as predicted.
    """

    symmetry = UPRIGHT
    layer_names = ("clean", "transmission", "airlight")
    stride, reach = NOISE_FOLD, NOISE_FOLD * (2 * NOISE_RADIUS + 2)
    overview_px = OVERVIEW_PX

    def __init__(self, width: int, blocks: tuple[int, ...], keep_light: bool = True) -> None:
        super().__init__()
        self.keep_light = keep_light
        deepest = width * 2 ** (len(blocks) - 1)
        self.multiple = 2 ** (len(blocks) + 1)
        self.encoder = Encoder(width, blocks, channels=(3 + len(DARK_PX)) * FOLD**2)
        self.decoder = Decoder(width, blocks, channels=3)
        self.trust = nn.Parameter(torch.zeros(()))  # in the dark channel
        self.mean_norm = nn.LayerNorm(deepest)  # what residual blocks add up to has no scale
        self.whole = zeroed(nn.Linear(deepest, deepest))
        self.offset = nn.Sequential(
            nn.Linear(deepest, HIDDEN), nn.ReLU(), zeroed(nn.Linear(HIDDEN, 3))
        )

    def overview(self, small: Tensor) -> Tensor:
        """(B, 3, h, w) -> maps (B, 7, h / 2, w / 2), rounded up: a (3) and b (1) of
        tau = a . I + b, and A (3). Once trained, without the haze that is to be left."""
        maps = self.predicted(small)
        if self.training or not self.keep_light:
            return maps
        picture = square_means(small.float(), FOLD)
        maps = maps.float()
        depth, airlight = self.haze(picture, maps)
        restored = picture + removable(picture, depth, airlight).expm1() * (picture - airlight)
        less = less_depth(picture, depth, airlight, restored)
        a, b = linear_in_colour(picture, less, GUIDE_PX, GUIDE_EPS)
        return maps - torch.cat([a, b, torch.zeros_like(airlight)], dim=1)

    def predicted(self, small: Tensor) -> Tensor:
        """Maps as those of `overview`, of all haze that is seen. Once trained, of two looks: at the
        picture and its mirror image."""
        if self.training:
            return self._look(small)
        straight, mirrored = self._look(torch.cat([small, small.flip(3)])).chunk(2)
        return (straight + mirrored.flip(3)) / 2

    def _look(self, small: Tensor) -> Tensor:
        height, width = small.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        padded = F.pad(small, (0, right, 0, down), mode="replicate")
        seen = torch.cat([padded, *(dark_channel(padded, side) for side in DARK_PX)], dim=1)
        features = self.encoder(F.pixel_unshuffle(seen, FOLD))
        mean = self.mean_norm(features[-1].mean(dim=(2, 3)))
        features[-1] = features[-1] + self.whole(mean)[:, :, None, None]
        small = small.float()
        picture = square_means(small, FOLD)
        height, width = picture.shape[-2:]
        predicted = self.decoder(features).float()[..., :height, :width]
        own, score, share = predicted.split(1, dim=1)
        offset = self.offset(mean).float()
        seen_light = self._seen(picture, score).clamp(DARKEST, 1 - DARKEST)
        airlight = torch.sigmoid(torch.logit(seen_light) + offset)  # inside, so that it can learn
        light = airlight[:, :, None, None]
        known = square_means(darkest(small / light), FOLD)
        depth = torch.lerp(
            own, dark_channel_depth(picture, known), self.trust * torch.sigmoid(share)
        )
        a, b = linear_in_colour(picture, depth, GUIDE_PX, GUIDE_EPS)
        return torch.cat([a, b, light.expand(-1, -1, height, width)], dim=1)

    def _seen(self, picture: Tensor, score: Tensor) -> Tensor:
        """(B, 3): the mean of the colours, weighted by the softmax of the score."""
        colours, scores = (square_means(x, SCORE_PX).flatten(2) for x in (picture, score))
        return (colours * (SHARPNESS * scores).softmax(dim=2)).sum(dim=2)

    def layers(self, image: Tensor, maps: Tensor | None = None) -> dict[str, Tensor]:
        """`clean` J, `transmission` t and `airlight` A."""
        even = smoothed(image, NOISE_FOLD, NOISE_RADIUS, NOISE_EPS)
        depth, airlight = self.haze(even, maps_of(self, image, maps))
        depth = removable(even, depth, airlight)
        return {
            "clean": image + depth.expm1() * (image - airlight),
            "transmission": (-depth).exp(),
            "airlight": airlight,
        }

    def haze(self, image: Tensor, maps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """tau (B, 1, H, W), below 0 for none, and A (B, 3, H, W), as the maps have them; without
        maps as predicted for a whole picture."""
        if maps is None:
            maps = self.all_haze(image)
        maps = maps_of(self, image, maps)
        depth = (maps[:, :3] * image).sum(dim=1, keepdim=True) + maps[:, 3:4]
        return depth, maps[:, 4:]

    def all_haze(self, image: Tensor) -> Tensor:
        """`predicted` of a whole picture (B, 3, H, W), at its own size."""
        size = (image.shape[-2], image.shape[-1])
        return sampled(self.predicted(shrunk(image, self.overview_px)), size)

    def remark(self, small: Tensor, maps: Tensor) -> str | None:
        depth, _ = self.haze(small.float(), sampled(maps, (small.shape[-2], small.shape[-1])))
        if float(depth.quantile(FARTHEST)) < CLEAR:
            return "hardly any haze was found in it"
        return None

    def forward(self, image: Tensor, maps: Tensor | None = None) -> Tensor:
        return self.layers(image, maps)["clean"]


def removable(image: Tensor, depth: Tensor, airlight: Tensor) -> Tensor:
    """The part of tau (B, 1, H, W) whose removal leaves more than noise, within `DEPTHS`.

    t <- max(t, 1 - AIR_IN_DARKEST min over c of I_c / A_c): no surface comes out black for want of
    light, and t <- min(1, t max(1, TOLERANCE (1 - t)^2 / |I - A|)): what is dense and has the
    colour of the air, such as a sky, has hardly anything behind it.
    """
    least = 1 - AIR_IN_DARKEST * (image / airlight).amin(dim=1, keepdim=True)
    depth = torch.minimum(depth, -least.clamp(LEAST, 1).log()).clamp(*DEPTHS)
    near = (image - airlight).abs().amax(dim=1, keepdim=True).clamp_min(1e-3)
    dense = (1 - (-depth).exp()).square()
    return (depth - (TOLERANCE * dense / near).clamp_min(1).log()).clamp_min(0)


def dark_channel(image: Tensor, side: int) -> Tensor:
    """The least of all colours in a window: (B, 3, H, W) -> (B, 1, H, W)."""
    least = -image.amin(dim=1, keepdim=True)
    reach = side // 2
    rows = F.max_pool2d(least, (side, 1), 1, (reach, 0))
    return -F.max_pool2d(rows, (1, side), 1, (0, reach))


def darkest(shares: Tensor) -> Tensor:
    """Mean of the dark channels of I / A."""
    return torch.stack([dark_channel(shares, side) for side in DARK_PX]).mean(dim=0)


def dark_channel_depth(picture: Tensor, dark: Tensor) -> Tensor:
    """tau (B, 1, h, w) = -ln(1 - OMEGA dark), by a guided filter as smooth as the picture."""
    a, b = linear_in_colour(picture, 1 - OMEGA * dark, DARK_GUIDE_PX, DARK_GUIDE_EPS)
    t = (a * picture).sum(dim=1, keepdim=True) + b
    return -t.clamp(LEAST, 1).log()


def build(
    *, width: int = 32, blocks: tuple[int, ...] = (2, 2, 2, 2), keep_light: bool = True
) -> Dehazer:
    """`width` channels at a quarter of the size of the look, `blocks` residual blocks a level,
    finest first; `keep_light` leaves haze on what would come out too dark."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return Dehazer(width, tuple(blocks), keep_light)
