"""A solver on files and folders: what learns from each picture alone.

Names, formats, bit depth, alpha, profile and EXIF are kept.  A picture is in memory as numbers of
four bytes, three times; what a network computes is in tiles or parts of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_restore import rng
from ssl_restore.device import out_of_memory
from ssl_restore.errors import UserError
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.folders import Job, write
from ssl_restore.io.picture import Picture, Pixels


def solved(
    pixels: Pixels,
    solve: Callable[..., dict[str, Tensor]],
    *,
    device: torch.device,
    strength: float = 1.0,
    names: Sequence[str] = ("clean",),
    **settings: Any,
) -> list[Pixels]:
    """The layers of these `names` of a picture (H, W, 1 or 3), uint8 or uint16, of its type.

    `strength`, of the clean one, as that of `wrappers.Strength`; `settings` are the solver's.
    """
    image = images.to_tensor(pixels).to(device)
    layers = solve(image, **settings)
    if strength != 1:
        layers = {**layers, "clean": torch.lerp(image, layers["clean"], strength)}
    return [images.to_pixels(layers[name].expand(-1, 3, -1, -1).cpu(), pixels) for name in names]


def solve_all(
    jobs: Sequence[Job],
    solve: Callable[..., dict[str, Tensor]],
    *,
    seed: int,
    device: torch.device,
    strength: float = 1.0,
    max_pixels: int = MAX_PIXELS,
    layer: str | None = None,
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> list[str]:
    """Solve every job; returns one line for each picture that could not be.

    `progress(share)` is called with every further share of a job, `notify(line)` with what a solver
    says of a picture; `layer` names the one that goes where a job says. A result does not depend on
    the other pictures.
    """
    taken = inspect.signature(solve).parameters
    skipped: list[str] = []
    for job in jobs:
        so_far = 0.0

        def further(share: float) -> None:
            nonlocal so_far
            progress(share - so_far)
            so_far = share

        def named(line: str, source: Path = job.source) -> None:
            notify(f"{source}: {line}")

        names = ["clean"] if job.layer is None or layer is None else ["clean", layer]
        given = {
            "generator": rng.derive(seed, "solve"), "progress": further, "notify": named
        }  # fmt: skip
        try:
            picture = images.read(job.source, max_pixels=max_pixels)
            layers = solved(
                picture.pixels, solve, device=device, strength=strength, names=names,
                **{name: value for name, value in given.items() if name in taken}, **settings,
            )  # fmt: skip
            write(job.target, replace(picture, pixels=layers[0]))
            if job.layer is not None and layer is not None:
                write(job.layer, Picture(layers[1]))
        except UserError as error:
            known_path = any(str(error).startswith(str(path)) for path in (job.source, job.target))
            skipped.append(str(error) if known_path else f"{job.source}: {error}")
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            skipped.append(f"{job.source}: out of memory; try a smaller `tile`")
        further(1.0)
    return skipped
