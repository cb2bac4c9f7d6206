"""A solver on files and folders: what learns from each picture alone.

Names, formats, bit depth, alpha, profile and EXIF are kept.  A picture is in memory as numbers of
four bytes, three times; what a network computes is in tiles or parts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_restore import discover, rng
from ssl_restore.device import out_of_memory
from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.folders import Job, write
from ssl_restore.io.picture import Pixels


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
    device: torch.device,
    strength: float = 1.0,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> list[str]:
    """Solve every job; returns one line for each picture that could not be.

    `progress(share)` is called with every further share of a job, `notify(line)` with what a solver
    says of a picture. A result does not depend on the other pictures.
    """
    taken = discover.settings(solve)
    skipped: list[str] = []
    for job in jobs:
        so_far = 0.0

        def further(share: float) -> None:
            nonlocal so_far
            progress(share - so_far)
            so_far = share

        def named(line: str, source: Path = job.source) -> None:
            notify(f"{source}: {line}")

        calls = {"progress": further, "notify": named}
        try:
            picture = images.read(job.source, max_pixels=max_pixels)
            pixels = solved(
                picture.pixels, solve, generator=rng.derive(seed, "solve"), device=device,
                strength=strength, **{name: call for name, call in calls.items() if name in taken},
                **settings,
            )  # fmt: skip
            write(job.target, replace(picture, pixels=pixels))
        except UserError as error:
            known_path = any(str(error).startswith(str(path)) for path in (job.source, job.target))
            skipped.append(str(error) if known_path else f"{job.source}: {error}")
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            skipped.append(f"{job.source}: out of memory; try a smaller `tile`")
        further(1.0)
    return skipped
