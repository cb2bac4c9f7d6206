"""`ssl-restore synth-rain`: a data set of rain rendered on photographs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from . import output as echo
from .errors import Failed, report_skipped, say
from .progress import bar

if TYPE_CHECKING:
    from ssl_restore.synthesis.degrader import Degrader

EXAMPLES = """\b
Examples:
  ssl-restore synth-rain ./photos/ ./set/
  ssl-restore synth-rain ./photos/ ./storm/ --preset storm --variants 4 --haze --noise
  ssl-restore synth-rain ./photos/ ./physics/ --rate 25 --exposure 1/250
  ssl-restore synth-rain ./photos/ ./mine/ --like rain.json
  ssl-restore synth-rain clip.mp4 ./shot/ --preset heavy --video
  ssl-restore evaluate ./set/rainy/ ./set/clean/
"""
PRESETS = (
    "mixed, drizzle, moderate, heavy, storm, windy, night, roof, bokeh, dashes, dashcam, or "
    "rainfall (physics)."
)


class Span(click.ParamType):  # type: ignore[type-arg]
    """`25`, `1/60`, or a range `10,40`: (low, high)."""

    name = "number"

    def __init__(self, *, positive: bool = True) -> None:
        self._positive = positive

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        try:
            numbers = [_number(part) for part in str(value).split(",")]
            low, high = numbers * 2 if len(numbers) == 1 else numbers
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r}: write a number, or a range as 10,40", param, ctx)
        if self._positive and not low > 0:
            self.fail(f"{value!r}: must be above 0", param, ctx)
        return low, high


def _number(text: str) -> float:
    over, slash, under = text.partition("/")
    number = float(over) / float(under) if slash else float(over)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


@click.command(epilog=EXAMPLES)
@click.argument("photos", type=options.PATH)
@click.argument("output", type=options.PATH)
@click.option("--preset", help=f"{PRESETS}  [default: mixed]")
@click.option("--like", type=options.PATH, help="Rain like that of a calibration (`calibrate`).")
@click.option(
    "--rain-layers", type=options.PATH, help="Real rain, harvested from clips (`rain-layers`)."
)
@click.option("--rate", type=Span(), help="Physics: mm/h; a number, or a range as 10,40.")
@click.option("--wind", type=Span(positive=False), help="Physics: m/s to the right.")
@click.option("--exposure", type=Span(), help="Physics: seconds, as 1/250.")
@click.option("--focal-px", type=Span(), help="Physics: focal length.  [default: by the size]")
@click.option(
    "--veil",
    type=options.FiniteRange(0, 1),
    help="Share of pictures with a veil.  [default: the preset's]",
)
@click.option("--haze", is_flag=True, help="Haze before the rain.")
@click.option("--drops", is_flag=True, help="Drops on the lens, behind which all is seen.")
@click.option("--noise", is_flag=True, help="Noise of the camera, last.")
@options.settings
@options.data_set
def command(
    photos: Path,
    output: Path,
    preset: str | None,
    like: Path | None,
    rain_layers: Path | None,
    rate: tuple[float, float] | None,
    wind: tuple[float, float] | None,
    exposure: tuple[float, float] | None,
    focal_px: tuple[float, float] | None,
    veil: float | None,
    haze: bool,
    drops: bool,
    noise: bool,
    settings: tuple[str, ...],
    **data_set: Any,
) -> None:
    """Render rain on PHOTOS (a folder, a picture or a clip); write a data set to OUTPUT.

    Writes rainy/, clean/ and rain/ (the streaks alone) under the same names, and meta.jsonl with
    what was drawn for each.  The same command goes on where it was interrupted.  `--set` changes
    a range of the preset, as angle_rad=0.1,0.3.
    """
    weather = {"rate_mm_per_h": rate, "wind_m_per_s": wind, "exposure_s": exposure}
    weather |= {"focal_px": focal_px}
    stated = [f"{name}={span[0]},{span[1]}" for name, span in weather.items() if span is not None]
    if stated:
        if like is not None or preset not in (None, "rainfall"):
            raise click.UsageError(
                "--rate, --wind, --exposure and --focal-px are of the preset rainfall; leave out "
                "--like and other presets"
            )
        preset = "rainfall"

    def maker(fps: float | None) -> Degrader:
        from ssl_restore.synthesis import presets  # noqa: PLC0415

        return presets.rain(
            seed=data_set["seed"], preset=preset, like=like, layers=rain_layers,
            changes=(*stated, *settings), veil=veil, haze=haze, drops=drops, noise=noise, fps=fps,
        )  # fmt: skip

    make_set("synth-rain", photos, output, maker, **data_set)


def make_set(
    name: str,
    photos: Path,
    output: Path,
    maker: Callable[[float | None], Degrader],
    *,
    variants: int,
    frames: int | None,
    sequence: bool,
    video: bool,
    recursive: bool,
    fps: float | None,
    workers: int | None,
    max_pixels: int,
    seed: int,
) -> None:
    """Plan and make the data set of the maker for so many frames a second; None: for pictures."""
    from ssl_restore.io import shots  # noqa: PLC0415
    from ssl_restore.io.clips.suffixes import is_clip  # noqa: PLC0415
    from ssl_restore.io.locks import only_run  # noqa: PLC0415
    from ssl_restore.synthesis import dataset  # noqa: PLC0415

    shot = frames is not None or sequence or is_clip(photos)
    if not shot and (video or fps is not None):
        raise click.UsageError("--video and --fps go with a clip, --frames or --sequence")
    rate = (fps or shots.rate_of(photos)) if shot else None
    with only_run(output):
        plan = dataset.plan(
            photos, output, maker(rate), variants=variants, frames=frames, sequence=sequence,
            recursive=recursive, notify=say,
        )  # fmt: skip
        if plan.complete:
            click.echo(f"{plan.complete} pictures exist already", err=True)
        skipped = []
        with bar(len(plan.missing), "picture", name) as shown:
            workers = workers or os.cpu_count() or 1
            for failure in dataset.make(plan, workers=workers, max_pixels=max_pixels):
                shown.update()
                if failure is not None:
                    skipped.append(failure)
        if video and rate is not None:
            for path in dataset.clips(plan, rate):
                click.echo(str(path), err=True)
    report_skipped(skipped)
    echo.path(output)
    if skipped:
        raise Failed(f"{len(skipped)} of {len(plan.missing)} pictures could not be made")
