"""Shadow removal from one look at the whole picture: the light that is lacking, then every pixel.

    J = display(linear(I) exp(tau c)),     tau = a . I + b,     c = exp(u) / mean of exp(u)

A U-Net sees the picture at a small size, because a shadow can only be told from a dark thing by
what is around it, and predicts at half of that the logarithm tau of the light that is lacking, and
for the whole picture its colour c: what a shadow lacks is the light of the sun, and what it keeps
is that of the sky. As in `dehazer`, a guided filter gives tau the edges of the full picture.

References: Guo, Dai and Hoiem, "Paired regions for shadow detection and removal", PAMI 2013
(relighting by ratios of light); Le and Samaras, "Shadow removal via shadow image decomposition",
ICCV 2019 (a linear model of the lit picture and a matte, predicted by networks).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degradations.color import to_display, to_linear
from ssl_restore.networks.guided import linear_in_colour
from ssl_restore.networks.look import FOLD, Look, both_ways
from ssl_restore.networks.overview import maps_of, sampled, square_means
from ssl_restore.networks.zeroed import zeroed
from ssl_restore.restorer import UPRIGHT, Restorer

OVERVIEW_PX = 256  # longest side of the look at the whole picture
MOST = 3.0  # of tau: 5 % of the light has arrived
FAINT = 0.03  # of tau, below which there is no shadow
GUIDE_PX, GUIDE_EPS = 3, 2e-4
HIDDEN = 64
TINT = 0.5  # of u
NONE, SHARE = 0.15, 0.01  # tau below which it is said that there is no shadow, in all but a share


class Deshadower(Restorer):
    """image (B, 3, H, W) -> J, the same shape; `maps` are those of `overview`."""

    symmetry = UPRIGHT
    layer_names = ("clean", "shadow")
    stride, reach = 1, 0
    overview_px = OVERVIEW_PX

    def __init__(self, width: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.look = Look(width, blocks, channels=1)
        self.colour = nn.Sequential(
            nn.Linear(self.look.deepest, HIDDEN), nn.ReLU(), zeroed(nn.Linear(HIDDEN, 3))
        )

    def overview(self, small: Tensor) -> Tensor:
        """(B, 3, h, w) -> maps (B, 7, h / 2, w / 2), rounded up: a (3) and b (1) of
        tau = a . I + b, and c (3). Once trained, of two looks: at the picture and its mirror
        image."""
        return self._maps(small) if self.training else both_ways(self._maps, small)

    def _maps(self, small: Tensor) -> Tensor:
        tau, mean = self.look(small)
        colour = (TINT * self.colour(mean).float().tanh()).exp()
        colour = (colour / colour.mean(dim=1, keepdim=True))[:, :, None, None]
        picture = square_means(small.float(), FOLD)
        a, b = linear_in_colour(picture, tau, GUIDE_PX, GUIDE_EPS)
        return torch.cat([a, b, colour.expand(-1, -1, *tau.shape[-2:])], dim=1)

    def lacking(self, image: Tensor, maps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """tau (B, 1, H, W) as predicted, below 0 for none, and c (B, 3, H, W)."""
        maps = maps_of(self, image, maps)
        return (maps[:, :3] * image).sum(dim=1, keepdim=True) + maps[:, 3:4], maps[:, 4:]

    def layers(self, image: Tensor, maps: Tensor | None = None) -> dict[str, Tensor]:
        """`clean` J and `shadow`, the share of the light that is lacking."""
        tau, colour = self.lacking(image, maps)
        clean, tau = relit(image, tau, colour)
        return {"clean": clean, "shadow": -(-tau).expm1()}

    def remark(self, small: Tensor, maps: Tensor) -> str | None:
        tau, _ = self.lacking(small.float(), sampled(maps, (small.shape[-2], small.shape[-1])))
        if float((tau > NONE).float().mean()) < SHARE:
            return "no shadow was found in it"
        return None

    def forward(self, image: Tensor, maps: Tensor | None = None) -> Tensor:
        return self.layers(image, maps)["clean"]


def relit(image: Tensor, tau: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
    """The image with the light that it lacks, and tau within its limits; none is exactly none."""
    tau = (tau.clamp(max=MOST) - FAINT).clamp_min(0)
    light = to_linear(image.clamp(0, 1))
    return image + (to_display(light * (tau * colour).exp()) - to_display(light)), tau


def build(*, width: int = 32, blocks: tuple[int, ...] = (2, 2, 2, 2)) -> Deshadower:
    """`width` channels at a quarter of the size of the look, `blocks` residual blocks a level,
    finest first."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return Deshadower(width, tuple(blocks))
