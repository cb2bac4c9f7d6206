"""A solver on files and folders: `denoise --zero-shot`.

Names, formats, bit depth, alpha, profile and EXIF are kept.  A picture is in memory as numbers of
four bytes, three times; what a network computes is in tiles or parts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ssl_restore import images, rng
from ssl_restore.errors import UserError
from ssl_restore.folders import Job, out_of_memory, write
from ssl_restore.picture import Pixels


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

    `strength` as that of `restore.Strength`; `settings` are the solver's.
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
    said: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> list[str]:
    """Solve every job; returns one line for each picture that could not be.

    `done(share)` is called with every further share of a job, `said(line)` with what a solver says
    of a picture. A result does not depend on the other pictures.
    """
    skipped: list[str] = []
    for job in jobs:
        so_far = 0.0

        def seen(share: float) -> None:
            nonlocal so_far
            done(share - so_far)
            so_far = share

        def say(line: str, job: Job = job) -> None:
            said(f"{job.source}: {line}")

        try:
            picture = images.read(job.source, max_pixels=max_pixels)
            generator = rng.derive(seed, "solve")
            pixels = solved(
                picture.pixels, solve, generator=generator, seen=seen, say=say, **settings
            )
            write(job.target, replace(picture, pixels=pixels))
        except UserError as error:
            skipped.append(_named(job, error))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            skipped.append(f"{job.source}: out of memory; try a smaller --tile")
        seen(1.0)
    return skipped


def _named(job: Job, error: UserError) -> str:
    """The error with the picture or the result that it is about."""
    text = str(error)
    named = any(text.startswith(str(path)) for path in (job.source, job.target))
    return text if named else f"{job.source}: {text}"
