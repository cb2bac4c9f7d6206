"""A solver on files and folders: what learns from each picture alone.

Names, formats, bit depth, alpha, profile and EXIF are kept.  A picture is in memory as numbers of
four bytes, three times; what a network computes is in tiles or parts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ssl_restore import rng
from ssl_restore.inference.folders import one_by_one
from ssl_restore.io import images
from ssl_restore.io.folders import Job, write
from ssl_restore.io.picture import Picture, Pixels


def solved(
    pixels: Pixels,
    solve: Callable[..., dict[str, Tensor]],
    *,
    generator: torch.Generator,
    device: torch.device,
    strength: float = 1.0,
    **settings: Any,
) -> Pixels:
    """The `clean` layer of a picture (H, W, 1 or 3), uint8 or uint16, of the same shape and type.

    `strength` as that of `wrappers.Strength`; `settings` are the solver's.
    """
    image = images.to_tensor(pixels).to(device)
    clean = solve(image, generator=generator, **settings)["clean"]
    return images.to_pixels(torch.lerp(image, clean, strength).cpu(), pixels)


def solve_all(
    jobs: Sequence[Job],
    solve: Callable[..., dict[str, Tensor]],
    *,
    seed: int,
    max_pixels: int = 200_000_000,
    done: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> list[str]:
    """Solve every job; returns one line for each picture that could not be.

    `done(share)` is called with every further share of a job, `notify(line)` with what a solver
    says of a picture. A result does not depend on the other pictures.
    """

    def finish(job: Job, picture: Picture, progress: Callable[[float], None]) -> None:
        pixels = solved(
            picture.pixels,
            solve,
            generator=rng.derive(seed, "solve"),
            progress=progress,
            notify=lambda line: notify(f"{job.source}: {line}"),
            **settings,
        )
        write(job.target, replace(picture, pixels=pixels))

    return one_by_one(jobs, finish, max_pixels=max_pixels, done=done)
