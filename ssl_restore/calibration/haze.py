"""The haze of pictures in numbers, as the built-in dehazer sees it: `calibrate --haze`.

    I = J t + A (1 - t),     t = exp(-tau),     tau = beta d

Of each picture the airlight A (display values) and the quantiles of the optical depth tau over its
pixels: what extinction beta and the distances d of the scene make together, as neither is known by
itself. It sees no more than a tau of 2.6, through which 7 % of the light has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from degradations.haze_like import QUANTILES, MeasuredHaze
from ssl_restore.calibration.pictures import Measured, Rows, measure_each
from ssl_restore.errors import UserError
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.picture import Pixels
from ssl_restore.networks.dehazer import Dehazer
from ssl_restore.networks.overview import shrunk
from ssl_restore.restorer import Restorer

DOUBTED = 16  # pictures of the clear folder that are looked at
CLEAR = 0.03  # median optical depth below which a picture is without haze


@dataclass(frozen=True, kw_only=True)
class PictureHaze(MeasuredHaze):
    """What was estimated of one picture."""

    file: str


class HazeCalibration(Rows[PictureHaze]):
    """The haze of each picture of a folder."""

    kind, format, row = "haze", 1, PictureHaze


def calibrate(
    paths: Sequence[Path],
    device: torch.device | None = None,
    *,
    limit: int | None = None,
    on_read: Callable[[Path], None] = lambda path: None,
    max_pixels: int = MAX_PIXELS,
) -> Measured[HazeCalibration]:
    """Measure the haze of pictures (`limit` of them, spread over the list).

    UserError when none can be measured.
    """
    restorer = load_restorer(None, device or torch.device("cpu"), task="dehaze")
    rows, skipped = measure_each(
        paths, lambda name, pixels: measure(name, pixels, restorer),
        limit=limit, on_read=on_read, max_pixels=max_pixels,
    )  # fmt: skip
    return Measured(HazeCalibration(tuple(rows)), skipped)


def doubt(found: HazeCalibration, clean: Sequence[Path], device: torch.device) -> str | None:
    """A line if the pictures that are given as clear ones have more haze than those measured."""
    try:
        others = calibrate(clean, device, limit=DOUBTED).calibration
    except UserError:  # none of them has any
        return None
    if others.median("median") <= found.median("median"):
        return None
    return (
        "the clear photographs have more haze than the hazy ones "
        f"({others.median('median'):.2f} against {found.median('median'):.2f} in optical depth): "
        "were the folders swapped?"
    )


def measure(name: str, pixels: Pixels, restorer: Restorer) -> PictureHaze:
    """The haze of a picture (H, W, 1 or 3), uint8 or uint16, as a dehazer sees it.

    UserError for one that is without haze, and for a restorer that tells none.
    """
    core = restorer.core
    if not isinstance(core, Dehazer):
        raise UserError(f"{name}: these weights, of a {type(core).__name__}, tell no haze")
    device = next(core.parameters()).device
    with torch.no_grad():
        small = shrunk(images.to_tensor(pixels), core.overview_px).to(device)
        depth, airlight = core.haze(small)
    tau = depth.flatten().clamp_min(0).cpu()
    found = {key: float(tau.quantile(share)) for key, share in QUANTILES.items()}
    if found["median"] < CLEAR and found["farthest"] < 2 * CLEAR:
        raise UserError(f"{name}: no haze found")
    red, green, blue = airlight[0, :, 0, 0].tolist()
    return PictureHaze(file=name, red=red, green=green, blue=blue, **found)
