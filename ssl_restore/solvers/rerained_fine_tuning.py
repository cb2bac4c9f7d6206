"""A derainer fine-tuned on one picture, for that picture: `ssl-restore derain --adapt`.

    pseudo-clean = restorer(picture),   rain like that of the picture on it and on photographs,
    and the way back (the objective of `derain_unpaired`)

What restored the picture is taken for clean and gets rain anew ("restore from restored"). It is
turned by a quarter, so that streaks that were left in it lie across the rain and are not learned as
background; photographs of other scenes are the other half. No truth tells whether it helped, so a
guard does: the result is kept where it has less light in lines along the streaks (`streak_energy`)
and as much texture besides as before.

Reference: Lee, Cho, Kim and Kim, "Restore from restored: video restoration with pseudo clean
video", CVPR 2021 (for noise).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from degradations.rain_like import RainLike, Uncertainty
from ssl_restore import rng, weights
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration import rain_estimator
from ssl_restore.calibration.rain_file import PictureRain
from ssl_restore.errors import UserError
from ssl_restore.evaluation.streak_energy import streak_energy, texture_energy
from ssl_restore.inference.folders import Job, one_by_one, with_self_ensemble, write
from ssl_restore.inference.tiles import restore, tile_sides
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks.unet import RainUNet
from ssl_restore.objectives.rain_transfer import RainTransfer
from ssl_restore.training import data, session
from ssl_restore.training.fit import fit
from ssl_restore.types import Batch, Player, Recipe

BATCH, PATCH = 8, 64
PHOTOGRAPHS = 4  # of a batch; the rest of the clean patches come from the picture itself
SHARE = 0.25  # of a batch with rain moved from the picture; more learns its own mistakes
LR = 2e-4
LEAST_RAIN = 0.02  # share of the rain of the picture that counts as more
LEAST_LOST = 0.05  # share of the texture that a kept result may lack, against the start


@dataclass(frozen=True)
class Adapted:
    """The picture as it came out, and whether the guard kept what was learned."""

    pixels: np.ndarray
    kept: bool
    reason: str


def adapt(
    restorer: nn.Module,
    pixels: np.ndarray,
    *,
    name: str = "the picture",
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    precision: str = "auto",
    tile: int | None = None,
    quality: str = "fast",
    progress: Callable[[float], None] = lambda share: None,
) -> Adapted:
    """Pixels (H, W, 1 or 3), uint8 or uint16, restored by a copy of the restorer that learned on
    them; the restorer itself, which must not be folded, stays as it is.

    `progress(share)` is called after every step with the share of `seconds` or `steps` that is
    done.
    UserError for a picture below 160 x 160, with its `name`.
    """
    device = next(restorer.parameters()).device
    before = restore(with_self_ensemble(restorer, quality), pixels, tile=tile, precision=precision)
    picture = images.to_tensor(pixels)[0].to(device)
    estimator = rain_estimator.load(weights.rain_estimator()).to(device)
    found = rain_calibration.measure(name, picture, restorer, estimator)
    if found.probability < rain_calibration.RAINY_FROM:
        return Adapted(before, False, "no rain found to learn from")
    recipe = _recipe(restorer, found, rain_calibration.uncertainty(estimator))
    sources = _sources(pixels, before, seed)

    def draw(step: int, progress: float) -> Batch:
        def patches(name: str, count: int, *, upright: bool) -> Tensor:
            generator = rng.derive(seed, name, step)
            return data.patches(sources[name], count, PATCH, generator, upright=upright, shrink=1)

        clean = [
            patches("photographs", PHOTOGRAPHS, upright=False),
            patches("pseudo-clean", BATCH - PHOTOGRAPHS, upright=True),
        ]
        shuffled = torch.cat(clean)[torch.randperm(BATCH, generator=rng.derive(seed, "mix", step))]
        degraded = patches("picture", BATCH, upright=True)
        return Batch(
            clean=shuffled.to(device, memory_format=torch.channels_last),
            degraded=degraded.to(device, memory_format=torch.channels_last),
            progress=progress,
            warm=True,
        )

    rows = fit(recipe, draw, seed=seed, seconds=seconds, steps=steps, precision=precision)
    for row in rows:
        progress(row.progress)
    learned = with_self_ensemble(recipe.ema, quality)
    after = restore(learned, pixels, tile=tile, precision=precision)
    return guarded(pixels, before, after, found)


def _recipe(restorer: nn.Module, found: PictureRain, uncertainty: Uncertainty) -> Recipe:
    prior = RainLike((found.rain,), uncertainty, rain_free=0.06, mirrored=True)
    learner, ema = copy.deepcopy(restorer), copy.deepcopy(restorer)
    objective = RainTransfer(
        learner, ema, prior, share=SHARE, gain=(0.9, 1.6), threshold=0.01, coarse=0.0
    )
    optimizer = torch.optim.AdamW(learner.parameters(), lr=LR, betas=(0.9, 0.95), fused=True)
    weights_of = {"restore": 1.0, "veil": 0.1}
    return Recipe(
        network="", keywords={}, restorer=learner, ema=ema,
        players=(Player(objective, weights_of, optimizer),), batch=BATCH, patch=PATCH, decay=0.99,
        frozen_batchnorm=True,  # the statistics of a single picture led astray by up to 9 dB
    )  # fmt: skip


def _sources(pixels: np.ndarray, before: np.ndarray, seed: int) -> dict[str, data.Pictures]:
    def one(picture: np.ndarray) -> data.Pictures:
        return data.Pictures((data.eight_bit_rgb(picture),), (), "")

    photographs = images.find(session.bundled_photographs())
    return {
        "photographs": data.load(photographs, patch=PATCH, seed=seed),
        "pseudo-clean": one(np.ascontiguousarray(np.rot90(before))),
        "picture": one(pixels),
    }


def guarded(
    pixels: np.ndarray, before: np.ndarray, after: np.ndarray, found: PictureRain
) -> Adapted:
    """`after` where it has no more rain than `before` and as much texture, else `before`; the
    picture that both come from says how much rain counts."""
    angle = torch.tensor([found.rain.angle_rad])
    whole, first, second = (images.to_tensor(picture) for picture in (pixels, before, after))
    rain, *streaks = (streak_energy(picture, angle).item() for picture in (whole, first, second))
    texture = [texture_energy(picture, angle).item() for picture in (first, second)]
    if streaks[1] > streaks[0] + LEAST_RAIN * max(rain, 0):
        return Adapted(before, False, "more light in lines along the rain than before")
    if texture[1] < (1 - LEAST_LOST) * texture[0]:
        return Adapted(before, False, "texture was lost")
    return Adapted(after, True, "")


def adapt_all(
    jobs: Sequence[Job],
    restorer: nn.Module,
    *,
    seconds: float,
    seed: int = 0,
    tile: int | None = None,
    quality: str = "fast",
    precision: str = "auto",
    max_pixels: int = 200_000_000,
    done: Callable[[float], None] = lambda share: None,
) -> tuple[list[str], list[str]]:
    """Restore every job by a copy of the restorer that learned from its picture for `seconds`.

    Returns one line for each picture that could not be restored, and one for each for which the
    restorer was kept as it was. `done(share)` is called with every further share of a job.
    """
    tile_sides(1, 1, tile, 0, int(restorer.stride))  # type: ignore[arg-type]  # refuses a bad tile
    if not isinstance(restorer, RainUNet):
        raise UserError(
            f"--adapt: these weights are of a {type(restorer).__name__}, which is no derainer; "
            "leave --adapt out"
        )
    denied: list[str] = []

    def finish(job: Job, picture: Picture, progress: Callable[[float], None]) -> None:
        found = adapt(
            restorer, picture.pixels, name=str(job.source), seconds=seconds, seed=seed, tile=tile,
            quality=quality, precision=precision, progress=progress,
        )  # fmt: skip
        write(job.target, replace(picture, pixels=found.pixels))
        if not found.kept:
            denied.append(f"{job.source}: restored without --adapt ({found.reason})")

    return one_by_one(jobs, finish, max_pixels=max_pixels, done=done), denied
