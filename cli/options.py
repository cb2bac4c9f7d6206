"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


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


def tile(function: F) -> F:
    return click.option(
        "--tile", type=int, help="Side of a tile in pixels; 0: none.  [default: by size]"
    )(function)


def max_pixels(function: F) -> F:
    return click.option(
        "--max-pixels", default=200_000_000, show_default=True, help="Refuse larger pictures."
    )(function)
