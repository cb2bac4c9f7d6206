"""The colour filter mosaic of a sensor (Bayer), and demosaicing.

    raw(x) = J_c(x)(x),   c(x) = R G / G B repeated, shifted by a phase
    J = bilinear(raw) + correction (malvar(raw) - bilinear(raw))

Both are linear filters of 5 x 5 at most. Malvar's add to the bilinear estimate of a colour the
Laplacian of the colour that was measured at the place. Linear light, white-balanced, so that
colours rise and fall together. The border mirrors about its pixels, which keeps the pattern.

References: Bayer, US patent 3971065 (1976); Malvar, He and Cutler, "High-quality linear
interpolation for demosaicing of Bayer-patterned color images", ICASSP 2004, figure 2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .types import check_batch, check_values, per_image

PHASES = 4  # 2 row + column of the first red pixel
_REACH = 2

# Estimates of a colour: green at red or blue, of neighbours in the row, in the column, diagonal.
_BILINEAR = (
    ((0, 0, 0, 0, 0), (0, 0, 2, 0, 0), (0, 2, 0, 2, 0), (0, 0, 2, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 4, 0, 4, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, 0, 4, 0, 0), (0, 0, 0, 0, 0), (0, 0, 4, 0, 0), (0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0), (0, 2, 0, 2, 0), (0, 0, 0, 0, 0), (0, 2, 0, 2, 0), (0, 0, 0, 0, 0)),
)
_CORRECTION = (
    ((0, 0, -1, 0, 0), (0, 0, 0, 0, 0), (-1, 0, 4, 0, -1), (0, 0, 0, 0, 0), (0, 0, -1, 0, 0)),
    (
        (0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 0, 5, 0, -1), (0, -1, 0, -1, 0),
        (0, 0, 0.5, 0, 0),
    ),
    (
        (0, 0, -1, 0, 0), (0, -1, 0, -1, 0), (0.5, 0, 5, 0, 0.5), (0, -1, 0, -1, 0),
        (0, 0, -1, 0, 0),
    ),
    (
        (0, 0, -1.5, 0, 0), (0, 0, 0, 0, 0), (-1.5, 0, 6, 0, -1.5), (0, 0, 0, 0, 0),
        (0, 0, -1.5, 0, 0),
    ),
)  # fmt: skip


def colours_of_sites(phase: Tensor, height: int, width: int) -> Tensor:
    """Which colour each site measures.

    Args:
        phase: (B,) whole number from 0 to 3: 2 row + column of the first red site.
        height: of the picture, px.
        width: of the picture, px.

    Returns:
        (B, 4, H, W) bool: red, green in a row with red, green in a row with blue, blue.

    Example:
        >>> sites = colours_of_sites(torch.tensor([0]), 2, 2)
        >>> "".join("RGgB"[i] for i in sites[0].flatten(1).int().argmax(0))
        'RGgB'
    """
    rows = torch.arange(height, device=phase.device)
    columns = torch.arange(width, device=phase.device)
    red_row = (rows + phase.view(-1, 1, 1, 1) // 2).remainder(2).view(-1, 1, height, 1) == 0
    red_column = (columns + phase.view(-1, 1, 1, 1)).remainder(2).view(-1, 1, 1, width) == 0
    return torch.cat(
        [
            red_row & red_column,
            red_row & ~red_column,
            ~red_row & red_column,
            ~red_row & ~red_column,
        ],
        dim=1,
    )


def mosaic(image: Tensor, phase: Tensor) -> Tensor:
    """Of every pixel the colour that its filter lets through.

    Args:
        image: (B, 3, H, W), linear light.
        phase: (B,) as of `colours_of_sites`.

    Returns:
        (B, 1, H, W).

    Raises:
        ValueError: for another number of channels, and a phase that is not from 0 to 3.

    Example:
        >>> image = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2) / 4
        >>> mosaic(image, torch.tensor([0]))
        tensor([[[[0.2500, 0.5000],
                  [0.5000, 0.7500]]]])
    """
    check_batch(image)
    check_values("phase", phase, "of the mosaic", 0, PHASES - 1)
    if image.shape[1] != 3:
        raise ValueError(f"a mosaic is of 3 channels (B, 3, H, W), got {tuple(image.shape)}")
    red, green, other_green, blue = _sites(phase, image)
    seen = torch.cat([red, green | other_green, blue], dim=1)
    return (image * seen).sum(1, keepdim=True)


def demosaic(raw: Tensor, phase: Tensor, correction: Tensor) -> Tensor:
    """All three colours of every pixel, by linear filters.

    Args:
        raw: (B, 1, H, W), linear light, white-balanced.
        phase: (B,) as of `colours_of_sites`.
        correction: (B,) from 0, bilinear interpolation, to 1, that of Malvar, He and Cutler.

    Returns:
        (B, 3, H, W).

    Raises:
        ValueError: for more than one channel, and parameters out of their range.

    Example:
        >>> raw = torch.full((1, 1, 4, 4), 0.5)
        >>> demosaic(raw, torch.tensor([3]), torch.tensor([1.0])).unique()
        tensor([0.5000])
    """
    check_batch(raw)
    check_values("phase", phase, "of the mosaic", 0, PHASES - 1)
    check_values("correction", correction, "share", 0, 1)
    if raw.shape[1] != 1:
        raise ValueError(f"a mosaic has one channel (B, 1, H, W), got {tuple(raw.shape)}")
    rows, columns = (_mirrored(size, raw.device) for size in raw.shape[-2:])
    wide = raw.index_select(-2, rows).index_select(-1, columns)
    plain, added = functional.conv2d(wide, _kernels(raw)).split(4, dim=1)
    estimates = plain + per_image(correction, raw) * added
    at_other, in_row, in_column, diagonal = estimates.split(1, dim=1)
    red, green, other_green, blue = (site.to(raw) for site in _sites(phase, raw))
    greens = green + other_green
    return torch.cat(
        [
            red * raw + green * in_row + other_green * in_column + blue * diagonal,
            greens * raw + (red + blue) * at_other,
            blue * raw + other_green * in_row + green * in_column + red * diagonal,
        ],
        dim=1,
    )


def _kernels(like: Tensor) -> Tensor:
    """(8, 1, 5, 5): the bilinear ones and what Malvar adds."""
    return like.new_tensor([*_BILINEAR, *_CORRECTION])[:, None] / 8


def _sites(phase: Tensor, image: Tensor) -> tuple[Tensor, ...]:
    """(B, 1, H, W) bool of each kind of site; one phase serves all images."""
    shifts = per_image(phase, image).long().flatten()
    return colours_of_sites(shifts, *image.shape[-2:]).split(1, dim=1)


def _mirrored(size: int, device: torch.device) -> Tensor:
    """Index of the pixel seen at -2, ..., size + 1: ... 2 1 | 0 1 2 | 1 0 ..."""
    period = max(1, 2 * (size - 1))
    place = torch.arange(-_REACH, size + _REACH, device=device).remainder(period)
    return torch.minimum(place, period - place)
