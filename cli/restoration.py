"""What the commands of the tasks share: `derain`, `denoise`, and those that come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .errors import Failed, as_options, report_skipped
from .options import F
from .progress import bar

if TYPE_CHECKING:
    from torch import Tensor

    from ssl_restore.inference.folders import Choose
    from ssl_restore.io.folders import Job
    from ssl_restore.restorer import Restorer


def arguments(function: F) -> F:
    """INPUT, OUTPUT and every option that does not depend on what is removed."""
    for decorate in (
        options.precision,
        options.device,
        options.max_pixels,
        options.tile,
        options.seed,
        options.quality,
        click.option("--overwrite", is_flag=True, help="Replace results that exist."),
        click.option("--recursive", is_flag=True, help="Also the pictures in sub-folders."),
        click.option(
            "--weights", type=options.PATH, help="Checkpoint of `fit`.  [default: built-in]"
        ),
        click.argument("output", type=options.PATH),
        click.argument("source", metavar="INPUT", type=options.PATH),
    ):
        function = decorate(function)
    return function


@dataclass(frozen=True)
class Files:
    """What `arguments` gives."""

    source: Path
    output: Path
    weights: Path | None
    recursive: bool
    overwrite: bool
    quality: str
    seed: int
    tile: int | None
    max_pixels: int
    device: str
    precision: str

    def plan(self, layers: Path | None = None, also: Sequence[Path] = ()) -> list[Job]:
        from ssl_restore.io import folders  # noqa: PLC0415

        return folders.plan(
            self.source, self.output, recursive=self.recursive, overwrite=self.overwrite,
            layers=layers, also=also,
        )  # fmt: skip

    def load(self, task: str, *, trainable: bool = False) -> Restorer:
        """The restorer of the given weights, or the one built in for the task."""
        from ssl_restore import device  # noqa: PLC0415
        from ssl_restore.inference.load import load_restorer  # noqa: PLC0415

        on = device.choose(self.device)
        return load_restorer(self.weights, on, task=task, trainable=trainable)


def restore_files(
    task: str,
    files: Files,
    *,
    wrap: Callable[[Restorer], Restorer] = lambda restorer: restorer,
    strength: float = 1.0,
    scale: int | None = 1,
    then: Restorer | None = None,
    layers: Path | None = None,
    layer: str | None = None,
    choose: Callable[..., Choose] | None = None,
) -> None:
    """Restore INPUT into OUTPUT; say how fast, and print where the results are.

    `wrap` puts what is the task's own around the restorer, before all positions are averaged; the
    `layer` of that name, or what was taken, goes to the folder `layers`; `scale` is that of
    `fine_to_coarse`; `then` restores what is restored. `choose(restorer,
    quality=..., precision=..., notify=...)` gives what chooses the restorer of each picture.
    """
    from ssl_restore.inference import folders, wrappers  # noqa: PLC0415

    jobs = files.plan(layers)
    restorer = wrap(files.load(task))
    tell = _teller()
    chosen = (
        None
        if choose is None
        else choose(restorer, quality=files.quality, precision=files.precision, notify=tell)
    )
    restorer = wrappers.with_self_ensemble(restorer, files.quality)
    if strength != 1:
        restorer = wrappers.Strength(restorer, strength)
        then = None if then is None else wrappers.Strength(then, strength)
    start, pixels = time.perf_counter(), 0
    with bar(0, "pixel", task, unit_scale=True) as shown:

        def progress(count: int, expected: int) -> None:
            nonlocal pixels
            pixels += count
            shown.total = expected
            shown.update(count)

        skipped = folders.restore_all(
            jobs, restorer, scale=scale, tile=files.tile, precision=files.precision,
            max_pixels=files.max_pixels, then=then, layer=layer, choose=chosen, progress=progress,
            notify=tell,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    speed = f"{pixels / 1e6:.1f} Mpixel in {seconds:.1f} s ({pixels / 1e6 / seconds:.2f} Mpixel/s)"
    _conclude(files, jobs, skipped, speed)


def solve_files(
    task: str,
    files: Files,
    *,
    method: str | None = None,
    seconds: float | None = None,
    strength: float = 1.0,
    layers: Path | None = None,
    layer: str | None = None,
    **own: Any,
) -> None:
    """Restore INPUT into OUTPUT by a solver, which takes each picture alone.

    Its `layer` of that name goes to the folder `layers`; `own` are further settings of the solver.
    """
    from ssl_restore import device, discover  # noqa: PLC0415
    from ssl_restore.inference.solve import solve_all  # noqa: PLC0415
    from ssl_restore.inference.tiles import check_tile  # noqa: PLC0415

    method = method or discover.task(task).solver
    solve = discover.solver(method)
    known = discover.settings(solve)
    jobs = files.plan(layers)
    given: dict[str, Any] = {
        "seconds": seconds, "precision": files.precision, "tile": files.tile,
        "quality": files.quality,
    }  # fmt: skip
    settings = {name: value for name, value in given.items() if name in known} | own
    if "restorer" in known:
        restorer = files.load(task, trainable=True)
        check_tile(files.tile, restorer.stride)
        settings["restorer"] = restorer
    elif files.weights is not None:
        raise Failed(f"--weights: {method} starts from none; leave --weights out")
    notes: list[str] = []
    tell = _teller()

    def notify(line: str) -> None:
        notes.append(line)
        tell(line)

    with bar(100 * len(jobs), "%", task) as shown:
        skipped = solve_all(
            jobs, solve, seed=files.seed, max_pixels=files.max_pixels, layer=layer,
            device=device.choose(files.device), strength=strength,
            progress=lambda share: shown.update(100 * share), notify=notify, **settings,
        )  # fmt: skip
    _conclude(files, jobs, skipped, f"by {method}")


def marked(files: Files, mask: Path) -> Tensor:
    """(1, 1, H, W) of bool: True where the mask of the one picture INPUT is white."""
    import torch  # noqa: PLC0415

    from ssl_restore.io import images, masks  # noqa: PLC0415

    if files.quality != "fast":
        raise click.UsageError("give --mask or --quality, not both")
    files.plan(also=(mask,))
    size = images.read(files.source, max_pixels=files.max_pixels).pixels.shape[:2]
    white = masks.read_mask(mask, size, max_pixels=files.max_pixels)
    return torch.from_numpy(white)[None, None]


def _above_the_bar(line: str) -> None:
    """A line on stderr, above the bar."""
    from tqdm import tqdm  # noqa: PLC0415

    tqdm.write(line, file=sys.stderr)


def _teller() -> Callable[[str], None]:
    """Says lines of the library in the words of the command that runs, from any thread."""
    context = click.get_current_context()

    def tell(line: str) -> None:
        with context.scope(cleanup=False):
            _above_the_bar(as_options(line))

    return tell


def _conclude(files: Files, jobs: Sequence[Job], skipped: list[str], how: str) -> None:
    """Say what was restored, print where it is, and fail if something was not."""
    if skipped and not files.source.is_dir():
        raise Failed(as_options(skipped[0]))
    report_skipped(skipped)
    restored = len(jobs) - len(skipped)
    if restored:
        click.echo(f"{restored} restored, {how}", err=True)
        click.echo(str(files.output if files.source.is_dir() else jobs[0].target))
    if skipped:
        raise Failed(f"{len(skipped)} of {len(jobs)} pictures could not be restored")
