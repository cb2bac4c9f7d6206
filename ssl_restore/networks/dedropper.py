"""Removal of drops out of focus from one look at the whole picture, then every pixel.

    J = display((linear(I) - s) / (1 - a))

A drop on the lens, far nearer than what the lens is focused on, is a smooth disc: it covers a share
a of the aperture, and adds light s of its own, a view of the scene too blurred to have detail. Both
are smooth, so that they can be predicted at a small size, and the detail that came past the drop is
brought back as it is. What a drop hides altogether is not guessed.

    s = a v exp(e),     v the mean of linear(I) around

References: You, Tan, Kawakami, Mukaigawa and Ikeuchi, "Adherent raindrop modeling, detection and
removal in video", IEEE TPAMI 2016 (blending by the share of the aperture that a drop covers, and
bringing back what came past it).
"""

from __future__ import annotations

import torch
from torch import Tensor

from degradations.color import to_display, to_linear
from degradations.depth import box_mean
from ssl_restore.networks.look import FOLD, Look, both_ways
from ssl_restore.networks.overview import maps_of, square_means
from ssl_restore.restorer import UPRIGHT, Restorer

OVERVIEW_PX = 384  # longest side of the look at the whole picture
MOST = 0.85  # of a: what is left would be noise
AROUND_PX = 12  # of the maps
BRIGHTEST = 3.0  # of |e|
COVERED, SHARE = 0.1, 0.01  # a below which it is said that there are no drops, in all but a share


class Dedropper(Restorer):
    """image (B, 3, H, W) -> J, the same shape; `maps` are those of `overview`."""

    symmetry = UPRIGHT
    layer_names = ("clean", "covered")
    stride, reach = 1, 0
    overview_px = OVERVIEW_PX

    def __init__(self, width: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.look = Look(width, blocks, channels=4)

    def overview(self, small: Tensor) -> Tensor:
        """(B, 3, h, w) -> maps (B, 4, h / 2, w / 2), rounded up: a and s. Once trained, of two
        looks: at the picture and its mirror image."""
        return self._maps(small) if self.training else both_ways(self._maps, small)

    def _maps(self, small: Tensor) -> Tensor:
        predicted, _ = self.look(small)
        covered, brighter = predicted[:, :1], predicted[:, 1:].clamp(-BRIGHTEST, BRIGHTEST)
        light = square_means(to_linear(small.float().clamp(0, 1)), FOLD)
        added = covered.clamp(0, MOST) * box_mean(light, AROUND_PX) * brighter.exp()
        return torch.cat([covered, added], dim=1)

    def drops(self, image: Tensor, maps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """a (B, 1, H, W) as predicted, below 0 for none, and s (B, 3, H, W)."""
        maps = maps_of(self, image, maps)
        return maps[:, :1], maps[:, 1:]

    def layers(self, image: Tensor, maps: Tensor | None = None) -> dict[str, Tensor]:
        """`clean` J and `covered`, the share of the light that comes through drops."""
        covered, added = self.drops(image, maps)
        return {"clean": uncovered(image, covered, added), "covered": covered.clamp(0, MOST)}

    def remark(self, small: Tensor, maps: Tensor) -> str | None:
        if float((maps[:, :1] > COVERED).float().mean()) < SHARE:
            return "no drops were found in it"
        return None

    def forward(self, image: Tensor, maps: Tensor | None = None) -> Tensor:
        return self.layers(image, maps)["clean"]


def uncovered(image: Tensor, covered: Tensor, added: Tensor) -> Tensor:
    """What came past the drops, as bright as all of the light; the image itself without drops."""
    light = to_linear(image.clamp(0, 1))
    past = ((light - added) / (1 - covered.clamp(0, MOST))).clamp_min(0)
    return image + (to_display(past) - to_display(light))


def build(*, width: int = 32, blocks: tuple[int, ...] = (2, 2, 2, 2)) -> Dedropper:
    """`width` channels at a quarter of the size of the look, `blocks` residual blocks a level,
    finest first."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    return Dedropper(width, tuple(blocks))
