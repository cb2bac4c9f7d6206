"""Rain rendered band by band: memory grows with the streaks in a band, not in the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from .streaks import RainParams, choose_streaks, streak_layer
from .types import check_batch, follow

BAND_PIXELS = 1 << 18  # rendered at a time


def render_in_bands(
    image: Tensor,
    streaks: RainParams,
    render_band: Callable[[slice, RainParams], Tensor],
) -> tuple[Tensor, Tensor]:
    """An image with rain, and the layer of its streaks, band by band.

    Args:
        image: (1, C, H, W).
        streaks: those of the whole picture.
        render_band: (rows of the image, its streaks) to those rows with rain.

    Returns:
        (1, C, H, W) as `render_band` makes it, and R (1, 1, H, W): to the accuracy of float32 what
        the whole picture gives at once.

    Raises:
        ValueError: for more than one image.
    """
    check_batch(image)
    if len(image) != 1:
        raise ValueError(f"bands are those of one image (1, C, H, W), got {tuple(image.shape)}")
    streaks = follow(streaks, image)
    _, _, height, width = image.shape
    rows = max(1, BAND_PIXELS // width)
    half = (streaks.length_px + streaks.width_px + 4) / 2
    if streaks.wobble_px is not None:
        half = half + streaks.wobble_px
    bands, layers = [], []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        near = (streaks.y_px + half >= top) & (streaks.y_px - half <= bottom) & streaks.present
        local = choose_streaks(streaks, near[0].nonzero()[:, 0])
        local = replace(local, y_px=local.y_px - top)
        bands.append(render_band(slice(top, bottom), local))
        layers.append(streak_layer(local, bottom - top, width))
    return torch.cat(bands, dim=2), torch.cat(layers, dim=2)
