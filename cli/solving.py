"""What commands share that restore by a solver, which learns from each picture alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import on_cluster
from .progress import bar
from .restoration import Files, conclude

if TYPE_CHECKING:
    from torch import Tensor

    from ssl_restore.inference.condition import Condition
    from ssl_restore.io.picture import Pixels


def solve_files(
    task: str,
    files: Files,
    *,
    method: str | None = None,
    seconds: float | None = None,
    strength: float = 1.0,
    layers: Path | None = None,
    layer: str | None = None,
    mask: Path | None = None,
    outside: bool = False,
    condition: Callable[[Pixels], Condition] | None = None,
    **own: Any,
) -> None:
    """Restore INPUT into OUTPUT by a solver, which takes each picture alone.

    Its `layer` of that name goes to the folder `layers`; `mask` is a picture, white where it shall
    work, which it is told, or with `outside` where it shall not; `condition` tells that of
    each picture (`inference.condition`); `own` are its further settings.
    """
    from ssl_restore import device, discover  # noqa: PLC0415
    from ssl_restore.inference.load import fingerprint  # noqa: PLC0415
    from ssl_restore.inference.solve import solve_all  # noqa: PLC0415
    from ssl_restore.inference.tiles import check_tile  # noqa: PLC0415
    from ssl_restore.weights import parts  # noqa: PLC0415

    usual: dict[str, Any] = {}
    if method is None:
        method, usual = discover.task(task).solver, dict(discover.task(task).solver_settings)
    solve = discover.solver_for(method, task)
    known = discover.settings(solve)
    if files.precision == "int8":
        raise click.UsageError("a solver learns, which int8 cannot: give another --precision")
    with ExitStack() as stack:
        files = files.opened(stack)
        files.alone(stack, layers)
        learned = "restorer" in known

        def besides() -> dict[str, Any]:
            weights = [*parts(files.weights_path(task))] if learned else []
            masks = [mask] if mask is not None and mask.is_file() else []
            return {"solver": method, "weights": [fingerprint(path) for path in weights + masks]}

        jobs = files.plan(layers, [] if mask is None else [mask], besides)
        given: dict[str, Any] = {
            "seconds": seconds, "precision": files.precision, "tile": files.tile,
            "quality": files.quality,
        }  # fmt: skip
        settings = {name: value for name, value in given.items() if name in known}
        settings |= usual | own
        if learned:
            restorer = files.load(task, trainable=True)
            check_tile(files.tile, restorer.stride)
            settings["restorer"] = restorer
        elif files.weights is not None:
            raise click.UsageError(f"{method} starts from none: leave --weights out")
        if mask is not None:
            white = _marked(files, mask)
            settings["mask"] = ~white if outside else white
        how: partial[list[str]] = partial(
            solve_all, solve=solve, seed=files.seed, max_pixels=files.max_pixels, layer=layer,
            strength=strength, condition=condition, notify=on_cluster.notify(files), said=set(),
            **settings,
        )  # fmt: skip
        on = device.choose(files.device if files.cluster is None else "cpu")
        if files.cluster is not None:
            how = partial(how, device=on)
            return conclude(files, jobs, *on_cluster.run(files, jobs, how, task))
        with bar(100 * len(jobs), "%", task) as shown:
            skipped = how(
                jobs, device=on, finished=files.report,
                progress=lambda share: shown.update(100 * share),
            )  # fmt: skip
        conclude(files, jobs, skipped, f"by {method}")


def _marked(files: Files, mask: Path) -> Tensor:
    """(1, 1, H, W) of bool: True where the mask of the one picture INPUT is white."""
    import torch  # noqa: PLC0415

    from ssl_restore.io import masks  # noqa: PLC0415

    if files.quality != "good":
        raise click.UsageError("give --mask or --quality, not both")
    size = _size(Path(files.sources[0]), files.max_pixels)
    white = masks.read_mask(mask, size, max_pixels=files.max_pixels)
    return torch.from_numpy(white)[None, None]


def _size(source: Path, max_pixels: int) -> tuple[int, int]:
    """(height, width) of a picture, or of the frames of a clip."""
    from ssl_restore.io import images  # noqa: PLC0415
    from ssl_restore.io.clips.suffixes import is_clip  # noqa: PLC0415

    if is_clip(source):
        from ssl_restore.io.clips.reader import Clip  # noqa: PLC0415

        with Clip(source, max_pixels) as clip:
            return clip.size
    height, width = images.read(source, max_pixels=max_pixels).pixels.shape[:2]
    return height, width
