"""Haze that stays so that what stands before a bright sky does not come out too dark.

    L   = mean over c of I_c / A_c, smoothed within regions by a guided filter
    tau <- tau - s max(0, tau - ln((1 - m) / (1 - L))),    m = min(DIM / A, KEPT L)

Outdoors a camera exposes for the sky, and what is dim under a hazy sky is dim: haze was half of its
light. Bounded so, a region of the mean L comes out with the mean m at least; because the bound is
one of regions, contrast inside them is restored in full. Rooms are as dark as they come out: s, a
number a picture, is 1 under a sky of the colour of the air (`sky_share`) and 0 without one, unless
all of the result is dark. It rises smoothly, so that similar pictures come out alike.

References: Koschmieder, 1924; He, Sun and Tang, "Single image haze removal using dark channel
prior", PAMI 2011 (haze that is kept), and "Guided image filtering", PAMI 2013.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_restore.networks.guided import linear_in_colour

SKY, OTHER = 0.1, 0.2  # |I - A| / A up to which a colour is that of the air, from which it is not
ABOVE_SKY = 1 / 16  # of the height: what hides all sky below it
SHARE = (0.05, 0.15)  # of the picture: sky from which s grows, and at which it is 1
DARK = (0.16, 0.235)  # mean of the result, display values: s is 1, and 0
DIM, KEPT = 0.35, 0.65  # display value, share of what it was: a region may become so dark
REGION_PX, REGION_EPS = 8, 1e-2  # of the prediction


def less_depth(picture: Tensor, depth: Tensor, airlight: Tensor, restored: Tensor) -> Tensor:
    """What tau (B, 1, h, w) is to be lowered by, of the same shape, 0 or more.

    Args:
        picture: I, (B, 3, h, w) display values, the whole of it at a small size.
        depth: tau as predicted.
        airlight: A, (B, 3, h, w).
        restored: J of that tau, (B, 3, h, w).
    """
    sky = rising(sky_share(picture, airlight), SHARE)
    dark = 1 - rising(restored.clamp(0, 1).mean(dim=(1, 2, 3), keepdim=True), DARK)
    share = 1 - (1 - sky) * (1 - dark)
    light = (picture / airlight).mean(dim=1, keepdim=True)
    a, b = linear_in_colour(picture, light, REGION_PX, REGION_EPS)
    light = ((a * picture).sum(dim=1, keepdim=True) + b).clamp(0, 0.999)
    least = torch.minimum(DIM / airlight.mean(dim=1, keepdim=True), KEPT * light)
    return share * (depth - ((1 - least) / (1 - light)).log()).clamp_min(0)


def sky_share(picture: Tensor, airlight: Tensor) -> Tensor:
    """(B, 1, 1, 1): how much of the picture (B, 3, h, w) has the colour of the air, with next to
    nothing else above it."""
    away = ((picture - airlight) / airlight).abs().amax(dim=1, keepdim=True)
    other = ((away - SKY) / (OTHER - SKY)).clamp(0, 1)
    above = (other.cumsum(dim=2) - other) / picture.shape[2]
    return ((1 - other) * (1 - above / ABOVE_SKY).clamp_min(0)).mean(dim=(2, 3), keepdim=True)


def rising(values: Tensor, span: tuple[float, float]) -> Tensor:
    """From 0 at the start of the span to 1 at its end, smoothly."""
    share = ((values - span[0]) / (span[1] - span[0])).clamp(0, 1)
    return share * share * (3 - 2 * share)
