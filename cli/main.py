"""`ssl-restore`: finds its commands by file name and imports only the one that is called."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from pathlib import Path

import click

from .errors import reported

_NOT_COMMANDS = {"__init__", "main", "errors", "on_cluster", "options", "output", "progress",
                 "restoration", "solving", "streams"}  # fmt: skip


class Commands(click.Group):
    """Every other file of this folder is a command and defines `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        stems = {path.stem for path in Path(__file__).parent.glob("*.py")}
        return sorted(stem.replace("_", "-") for stem in stems - _NOT_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f".{cmd_name.replace('-', '_')}", __package__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from ssl_restore.errors import UnknownName  # noqa: PLC0415

            raise click.UsageError(str(UnknownName("command", args[0], self.list_commands(ctx))))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        # What is wrong with a file is said in one line: decoders shall not talk besides.
        warnings.filterwarnings("ignore", module="PIL")
        for talker in ("PIL", "tifffile"):
            logging.getLogger(talker).setLevel(logging.CRITICAL)
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        if sys.stderr is None:  # closed by who started this: progress and lines go nowhere
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        with reported():
            return super().invoke(ctx)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ssl-restore")
def main() -> None:
    """Clean pictures that have no clean versions.

    \b
    ssl-restore derain in.png out.png        restore with the built-in restorer
    ssl-restore denoise in.png out.png       the same for noise; dehaze for haze
    ssl-restore deblur in.png out.png        undo camera shake and defocus
    ssl-restore upscale in.png out.png       twice as large; four times with --scale 4
    ssl-restore inpaint in.png out.png       fill the pixels that a --mask marks as lost
    ssl-restore fit --images ./rainy/        learn a better one from your own rainy pictures
    ssl-restore synth-rain ./photos/ ./set/  build a data set with physically based rain
    """
