"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ssl_restore.io import MAX_PIXELS

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


class FiniteRange(click.FloatRange):
    """Numbers of a range; neither nan, which every range would hold, nor inf."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


POSITIVE = FiniteRange(0, min_open=True)


def seed(function: F) -> F:
    return click.option("--seed", default=0, show_default=True, help="Same seed, same result.")(
        function
    )


def device(function: F) -> F:
    return click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 ..."
    )(function)


def precision(function: F) -> F:
    return click.option(
        "--precision",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "bf16", "fp32"]),
        help="auto: bfloat16 where the processor multiplies it fast.",
    )(function)


def precision_or_int8(function: F) -> F:
    """Of commands that apply a restorer and learn nothing."""
    return click.option(
        "--precision",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "bf16", "fp32", "int8"]),
        help="auto: bfloat16 where the processor multiplies it fast; int8: derain and denoise, "
        "faster where it does not (x86), nearly the same.",
    )(function)


def tile(function: F) -> F:
    return click.option(
        "--tile",
        type=click.IntRange(0),
        help="Side of a tile in pixels; 0: none.  [default: by size]",
    )(function)


def cluster(function: F) -> F:
    return click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Of a Ray cluster, HOST:PORT, whose machines restore; local: a process a core of this "
        "one. Then INPUT and OUTPUT may be addresses, as s3://bucket/rainy.",
    )(function)


def recursive(function: F) -> F:
    return click.option("--recursive", is_flag=True, help="Also the pictures in sub-folders.")(
        function
    )


def json_lines(function: F) -> F:
    return click.option(
        "--json", "json_lines", is_flag=True, help="Print JSON for scripts, an object a line."
    )(function)


def skip_existing(function: F) -> F:
    return click.option(
        "--skip-existing",
        is_flag=True,
        help="Leave out what is done by these settings and weights: go on with a folder.",
    )(function)


def form(function: F) -> F:
    return click.option(
        "--format",
        "form",
        help="Of results in a folder: png, jpg, tif ...  [default: as the input]",
    )(function)


def jpeg_quality(function: F) -> F:
    return click.option(
        "--jpeg-quality",
        type=click.IntRange(1, 100),
        help="Of JPEG, AVIF and HEIC.  [default: as the JPEG it was, else 95]",
    )(function)


def codec(function: F) -> F:
    return click.option(
        "--codec",
        help="Of clips: h264, h265, ffv1 (no loss) or vp9.  [default: by the suffix: .mp4 h264, of "
        "more than 8 bits h265, .mkv ffv1]",
    )(function)


def crf(function: F) -> F:
    return click.option(
        "--crf",
        type=click.IntRange(0),
        help="Of clips: rate factor, 0 for no loss, 23 for small files.  [default: near-lossless]",
    )(function)


def strength(function: F) -> F:
    return click.option(
        "--strength",
        type=FiniteRange(0, 2),
        default=1.0,
        show_default=True,
        help="So much of what is found is removed; 0: none.",
    )(function)


def task(function: F) -> F:
    return click.option(
        "--task", help="derain, dehaze ...: which built-in restorer.  [default: that of --weights]"
    )(function)


def quality(function: F) -> F:
    return click.option(
        "--quality",
        default="good",
        show_default=True,
        type=click.Choice(["fast", "good", "best"]),
        help="fast: of denoise, a weaker network in half the time, of derain, one for thin "
        "streaks where two would follow each other; best: also mirrored (noise: turned, too), in 2 "
        "(8) times the time.",
    )(function)


def max_pixels(function: F) -> F:
    return click.option(
        "--max-pixels",
        type=click.IntRange(1),
        default=MAX_PIXELS,
        show_default=True,
        help="Refuse larger pictures.",
    )(function)


def settings(function: F) -> F:
    return click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting; can be repeated."
    )(function)


def data_set(function: F) -> F:
    """Of the commands that make a data set: how many pictures, of what, and by how many threads."""
    for option in (
        seed,
        max_pixels,
        recursive,
        click.option("--workers", type=click.IntRange(1), help="Threads.  [default: the cores]"),
        click.option(
            "--fps",
            type=POSITIVE,
            help="Frames a second.  [default: the clip's, else 25]",
        ),
        click.option("--video", is_flag=True, help="Also write each shot to video/ as .mp4."),
        click.option("--sequence", is_flag=True, help="PHOTOS are frames of one shot, by name."),
        click.option(
            "--frames",
            type=click.IntRange(1),
            help="Frames from each photograph; of a shot, the first so many.",
        ),
        click.option(
            "--variants",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Results a photograph.",
        ),
    ):
        function = option(function)
    return function
