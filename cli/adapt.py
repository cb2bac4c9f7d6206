"""`ssl-restore adapt`: a restorer that learns from the video it restores."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path

import click

from . import options
from . import output as echo
from .errors import say
from .progress import bar

EXAMPLES = """\b
Examples:
  ssl-restore adapt noisy.mp4 restored.mp4
  ssl-restore adapt ./frames/ ./restored/ --method restore_from_restored --seconds 120
  ssl-restore adapt rainy.mp4 restored.mkv --task derain --online
  ssl-restore adapt noisy.mp4 ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.argument("output", type=options.PATH)
@click.option(
    "--method",
    help="frame2frame (needs motion that flow can follow) or restore_from_restored."
    "  [default: the task's, frame2frame]",
)
@click.option("--online", is_flag=True, help="Learn from past frames only, as they come.")
@options.task
@click.option("--weights", type=options.PATH, help="Checkpoint of `fit`, instead of a --task.")
@click.option(
    "--seconds",
    type=options.POSITIVE,
    help="To learn; with --online for each frame.  [default: 60]",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Instead of --seconds; repeatable exactly.  [default with --online: 20]",
)
@click.option("--set", "settings", multiple=True, metavar="K=V", help="A setting: lr, batch ...")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@options.codec
@options.crf
@options.seed
@options.tile
@options.max_pixels
@options.device
@options.precision
def command(
    source: Path,
    output: Path,
    method: str | None,
    online: bool,
    task: str | None,
    weights: Path | None,
    seconds: float | None,
    steps: int | None,
    settings: tuple[str, ...],
    overwrite: bool,
    codec: str | None,
    crf: int | None,
    seed: int,
    tile: int | None,
    max_pixels: int,
    device: str,
    precision: str,
) -> None:
    """Restore the video INPUT, a clip or a folder of frames, by a restorer that learns from it.

    Nothing clean is needed.  OUTPUT is a clip (near-lossless: .mp4, .m4v, .mov, .webm; without
    loss: .mkv, .avi), which keeps sound, times, aspect and colours, or a folder of frames, which
    keep size and bit depth, and of a folder their names.  Without --online the whole video is
    learned from first.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.adapters.stream import Course  # noqa: PLC0415
    from ssl_restore.inference.load import load_restorer  # noqa: PLC0415
    from ssl_restore.inference.mixture import single  # noqa: PLC0415
    from ssl_restore.io import video  # noqa: PLC0415
    from ssl_restore.io.clips.encoders import Encoding  # noqa: PLC0415
    from ssl_restore.io.clips.suffixes import is_written  # noqa: PLC0415
    from ssl_restore.io.locks import only_run  # noqa: PLC0415

    if steps is not None and seconds is not None:
        raise click.UsageError("give --steps or --seconds, not both")
    chosen = discover.task(task or "denoise") if task or weights is None else None
    frames = video.find(source, max_pixels=max_pixels)
    files = video.targets(frames, output, overwrite=overwrite)
    restorer = load_restorer(
        weights,
        devices.choose(device),
        task=chosen.name if chosen else None,
        trainable=True,
    )
    if restorer.chooses:
        restorer = single(restorer, next(iter(frames)))
    known = chosen or discover.task(restorer.task)
    if known.stream is None:
        raise click.UsageError(f"no adapter learns to {known.name}; use `ssl-restore {known.name}`")
    method = method or known.adapter
    build = discover.builder("adapters", method)
    adapt = build(known.stream, **discover.parse_settings(build, settings))
    start = time.perf_counter()
    alone = nullcontext() if is_written(output) else only_run(output)
    with alone, bar(len(frames), "frame", method) as shown:
        course = Course(
            online=online, steps=steps, seconds=seconds, seed=seed, precision=precision, tile=tile,
            name=str(source),
            progress=lambda share: shown.set_postfix_str(f"learned {share:.0%}"),
            notify=say,
        )  # fmt: skip
        restored = adapt(restorer, frames, course)
        video.write(
            frames, restored, files, encoding=Encoding(codec, crf), progress=shown.update,
            notify=say,
        )  # fmt: skip
    taken = time.perf_counter() - start
    rate = len(frames) / taken
    click.echo(f"{len(frames)} frames restored in {taken:.0f} s ({rate:.2f} frames/s)", err=True)
    echo.path(output)
