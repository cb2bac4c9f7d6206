"""Relighting: the light that a shadow lacks is measured across its outline, and given back.

    log J = log I + m log(1 / g),     linear light

g, the share of the light that arrives in the shadow, is for each colour the ratio of the means just
inside and just outside the outline. Where the two sides show different things the ratios differ,
each in its way: g is that about which most of them lie, and may vary slowly from there. The matte m
rises across the outline over a penumbra whose width and place leave the fewest edges there.

The shadow is what the user painted. References: Guo, Dai and Hoiem, "Paired regions for shadow
detection and removal", PAMI 2013 (relighting by ratios); Wu, Tang, Brown and Shum, "Natural shadow
matting", ACM TOG 2007 (a matte of fractional shadow).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from degradations.color import to_display, to_linear
from degradations.depth import box_mean
from ssl_restore.errors import UserError
from ssl_restore.networks.overview import shrunk

TASKS = ("deshadow",)
WORK_PX = 512  # longest side at which gain and penumbra are measured
DARKEST = 2e-3  # linear light below which noise would be measured
BAND_PX, MARGIN_PX = 13, 3.0  # beside the penumbra
NEIGHBOURS_PX = 13  # over which the penumbra is alike
SEARCH_PX, SEARCH_STEP_PX, SEARCH_WIDTH_PX = 16, 2, 3.0  # where the outline may be missed
WIDTHS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)
NUDGES = (0.0, -1.0, 1.0, -0.5, 0.5)
COMPARED, CLOSE = 800, 0.15  # pixels of the outline; of the logarithm
REDDER = 0.15  # most of log(1 / g) of blue above that of red
SPREAD = 0.3  # of the logarithm of the gain, beyond which sides show different things
SMOOTH = 0.2  # of the longest side, over which the gain varies
STEADY = 0.05  # weight of the common gain beside the outline nearby
LEAST = 16  # pixels of the outline


@dataclass(frozen=True)
class Outline:
    """What was measured along the outline of a shadow, at the working size."""

    lacking: Tensor  # (1, 3, h, w) log(1 / g)
    width_px: Tensor  # (1, 1, h, w) of the penumbra
    offset_px: Tensor  # (1, 1, h, w) of its middle from the outline, outwards


def solve(image: Tensor, *, mask: Tensor | None = None) -> dict[str, Tensor]:
    """{"clean", "shadow"} of an image (1, 3, H, W), display values; "shadow" is m log(1 / g) over
    its greatest value.  Settings: `mask` (1, 1, H, W) of bool, where the shadow lies.

    Raises:
        UserError: Without a mask, for one of another size, and for one whose outline is not seen.
    """
    if mask is None:
        raise UserError("this needs a `mask`: a picture that is white where the shadow lies")
    if tuple(mask.shape[-2:]) != tuple(image.shape[-2:]):
        raise UserError("`mask` and picture differ in size; give one of the same size")
    light = to_linear(image.clamp(0, 1))
    inside = mask.to(image).float()
    small = shrunk(light, WORK_PX)
    scale = small.shape[-1] / image.shape[-1]
    distance = signed_distance(shrunk(inside, WORK_PX) > 0.5)
    found = measured(small.clamp_min(DARKEST).log(), distance)
    size = (image.shape[-2], image.shape[-1])
    lacking, width, offset = (
        F.interpolate(part, size, mode="bilinear", align_corners=False)
        for part in (found.lacking, found.width_px, found.offset_px)
    )
    whole = signed_distance(inside > 0.5) * scale
    given = matte(whole, width, offset) * lacking
    clean = image + (to_display(light * given.exp()) - to_display(light))
    shade = given.mean(dim=1, keepdim=True)
    return {"clean": clean, "shadow": shade / shade.amax().clamp_min(1e-6)}


def signed_distance(inside: Tensor) -> Tensor:
    """(1, 1, H, W) of bool -> pixels to the outline, above 0 inside."""
    flags = inside[0, 0].cpu().numpy()
    if flags.all() or not flags.any():
        raise UserError("no outline of the shadow is seen: leave what is lit black in the `mask`")
    within, beyond = (ndimage.distance_transform_edt(part) for part in (flags, ~flags))
    distance = np.where(flags, within - 0.5, 0.5 - beyond)  # it lies between the pixels
    return torch.from_numpy(distance).float()[None, None].to(inside.device)


def matte(distance: Tensor, width: Tensor, offset: Tensor) -> Tensor:
    """0 outside, 1 inside, and a smooth rise across the penumbra."""
    share = ((distance + offset) / width + 0.5).clamp(0, 1)
    return share * share * (3 - 2 * share)


def measured(log_light: Tensor, distance: Tensor) -> Outline:
    """Of log light (1, 3, h, w) and the signed distance (1, 1, h, w).

    The outline is sought first, as a hand paints it roughly; then the light is measured beside the
    penumbra, and the penumbra by that light, in turn.
    """
    unit = max(log_light.shape[-2:]) / WORK_PX
    margin, band, near = (unit * px for px in (MARGIN_PX, BAND_PX, NEIGHBOURS_PX))
    steps = range(-SEARCH_PX, SEARCH_PX + 1, SEARCH_STEP_PX)
    search = [(unit * SEARCH_WIDTH_PX, unit * place) for place in sorted(steps, key=abs)]
    lacking = lacking_light(log_light, distance, margin, band)
    _, offset = fewest_edges(log_light, lacking, distance, search, unit * SEARCH_PX + near)
    for within in (near, near / 2, near / 4):
        moved = distance + offset
        lacking = lacking_light(log_light, moved, margin, band)
        fine = [(w, n * within / 4) for w in WIDTHS_PX for n in NUDGES]
        width, nudge = fewest_edges(log_light, lacking, moved, fine, within)
        penumbra = float(width[moved.abs() < 1].median())
        margin = unit * MARGIN_PX + min(penumbra / 2, 3 * unit * MARGIN_PX)
        offset = offset + nudge
    return Outline(lacking, width, offset)


def fewest_edges(
    log_light: Tensor,
    lacking: Tensor,
    distance: Tensor,
    choices: Sequence[tuple[float, float]],
    within: float,
) -> tuple[Tensor, Tensor]:
    """Width and offset, (1, 1, h, w) each, that leave the fewest edges around each pixel."""
    reach = max(1, round(within))
    near = (distance.abs() < 2 * reach).float()
    best, pairs = torch.full_like(distance, torch.inf), distance.new_zeros(2, *distance.shape)
    for pair in distance.new_tensor(choices):
        relit = log_light + matte(distance, *pair) * lacking
        cost = box_mean(near * edges(relit), reach)
        pairs = torch.where(cost < best, pair.view(2, 1, 1, 1, 1), pairs)
        best = torch.minimum(cost, best)
    outline = (distance.abs() < 1).float()
    known = box_mean(outline, reach)
    width, offset = (
        torch.where(known > 0, box_mean(outline * part, reach) / known.clamp_min(1e-6), part)
        for part in pairs
    )
    return width, offset


def edges(values: Tensor) -> Tensor:
    """(1, 3, h, w) -> (1, 1, h, w): differences from the pixels to the right and below."""
    right = F.pad(values[..., 1:] - values[..., :-1], (0, 1)).abs()
    below = F.pad(values[..., 1:, :] - values[..., :-1, :], (0, 0, 0, 1)).abs()
    return (right + below).mean(dim=1, keepdim=True)


def lacking_light(log_light: Tensor, distance: Tensor, margin: float, band: float) -> Tensor:
    """log(1 / g), (1, 3, h, w), at least 0."""
    reach = max(2, round(margin + band))
    lit = ((distance < -margin) & (distance > -margin - band)).float()
    shaded = ((distance > margin) & (distance < margin + band)).float()
    if not shaded.any() or not lit.any():  # thinner than the margin
        lit, shaded = (distance < 0).float(), (distance > 0).float()
    outside, beside = mean_where(lit, log_light, reach)
    within, covered = mean_where(shaded, log_light, reach)
    step = outside - within
    known = (distance.abs() < 1) & (beside > 0.05) & (covered > 0.05)
    if int(known.sum()) < LEAST:
        raise UserError("too little of the outline of the shadow is seen to measure its light")
    rows = step[0].flatten(1)[:, known.flatten()]  # (3, pixels of the outline)
    middle = densest(rows).view(1, 3, 1, 1)
    apart = ((step - middle) / SPREAD).square().mean(dim=1, keepdim=True)
    weight = known / (1 + apart).square()
    far = SMOOTH * max(distance.shape[-2:])
    total, mass = smooth(weight * (step - middle), far), smooth(weight.float(), far)
    steady = STEADY * mass.amax()
    return (middle + total / (mass + steady)).clamp_min(0)


def densest(rows: Tensor) -> Tensor:
    """Where most of the rows (3, N) lie close together, (3,): things that differ on the two sides
    differ each in its way, and the shadow everywhere in the same."""
    points = rows[:, :: -(-rows.shape[1] // COMPARED)].T
    apart = torch.cdist(points, points).square()
    near = (-apart / (2 * CLOSE**2)).exp()
    dark, reddish = points.amin(dim=1) > 0, points[:, 2] - points[:, 0]
    shadow = dark & (reddish < REDDER)  # what is left is light of the sky, not redder
    best = near[(near.sum(dim=1) * (0.01 + shadow.float())).argmax()]
    return (best[:, None] * points).sum(dim=0) / best.sum()


def mean_where(chosen: Tensor, values: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Mean of the values in a window over what is chosen, and the share that is."""
    share = box_mean(chosen, reach)
    return box_mean(chosen * values, reach) / share.clamp_min(1e-6), share


def smooth(values: Tensor, sigma: float) -> Tensor:
    """Two box means as wide as a Gaussian."""
    reach = max(1, round(sigma))
    return box_mean(box_mean(values, reach), reach)
