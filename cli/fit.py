"""`ssl-restore fit`: learn a restorer from a folder of degraded pictures."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from . import output as echo
from .errors import Failed, report_skipped, say
from .progress import bar

if TYPE_CHECKING:
    import torch

    from ssl_restore.training.session import TrainingJob

EXAMPLES = """\b
Examples:
  ssl-restore fit --images ./rainy/
  ssl-restore fit --images ./rainy/ --clean ./photos/ --minutes 30 -o runs/mine
  ssl-restore fit --images ./noisy/ --task denoise
  ssl-restore fit --images ./bursts/ --recipe noise2noise
  ssl-restore fit --resume runs/mine
  ssl-restore derain ./rainy/ ./restored/ --weights runs/mine/restorer.safetensors
"""


@click.command(epilog=EXAMPLES)
@click.option("--images", type=options.PATH, help="Folder of degraded pictures, or a clip.")
@click.option(
    "--clean", type=options.PATH, help="Folder of clean photographs.  [default: those installed]"
)
@click.option("--paired", is_flag=True, help="CLEAN has the same pictures under the same names.")
@click.option(
    "--task", help="derain, denoise ...: names the recipe.  [default: derain, or the recipe's]"
)
@click.option("--recipe", help="Name or ./file.py.  [default: the task's]")
@click.option("-o", "--output", type=options.PATH, help="Run folder.  [default: runs/IMAGES]")
@click.option("--minutes", type=options.POSITIVE, help="Training time.  [default: 15]")
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Training steps, instead of --minutes; repeatable exactly.",
)
@click.option("--start", type=options.PATH, help="Checkpoint to start from.  [default: built-in]")
@click.option("--from-scratch", is_flag=True, help="Start from random weights.")
@click.option(
    "--resume", type=options.PATH,
    help="Go on with the run in this folder; longer with --minutes or --steps.",
)  # fmt: skip
@click.option(
    "--no-calibrate", "calibrate", is_flag=True, flag_value=False, default=True,
    help="Do not measure the rain or noise of IMAGES first.",
)  # fmt: skip
@click.option(
    "--rain-layers", type=options.PATH, help="Real rain to learn from besides (`rain-layers`)."
)
@click.option(
    "--set", "settings", multiple=True, metavar="K=V", help="Change a setting (`recipes`)."
)
@options.recursive
@options.seed
@options.device
@options.precision
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    resume: Path | None,
    settings: tuple[str, ...],
    device: str,
    precision: str,
    **asked: Any,
) -> None:
    """Learn a restorer from a folder of rainy or noisy pictures; no clean versions are needed.

    Writes a run folder: restorer.safetensors for `derain --weights` or `denoise --weights`,
    log.csv, and sample.png, which is renewed while it learns.  Ctrl-C saves; --resume goes on.
    """
    if "LOCAL_RANK" in os.environ:  # parameters that rest in some steps are looked for knowingly
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read where torch is imported
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore.training import group, request  # noqa: PLC0415

    if asked["minutes"] is not None and asked["steps"] is not None:
        raise click.UsageError("give --minutes or --steps, not both")
    if asked["start"] is not None and asked["from_scratch"]:
        raise click.UsageError("give --start or --from-scratch, not both")
    chosen = devices.start(device)
    with _first_speaks(), request.alone(resume or request.Request(**asked).folder):
        job = (
            _start(asked, settings, chosen)
            if resume is None
            else _go_on(resume, _stated(context, asked), settings, chosen)
        )
        report_skipped(job.skipped)
        _train(job, resume is not None, precision)
        echo.path(job.run.weights)
    if job.skipped and group.rank() == 0:  # torchrun fails where one does
        raise Failed(f"learned without the pictures that could not be used: {len(job.skipped)}")


def _start(asked: dict[str, Any], settings: tuple[str, ...], device: torch.device) -> TrainingJob:
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.training import request, session  # noqa: PLC0415

    asked["chosen"] = asked["recipe"] is None
    asked["recipe"] = request.Request(**asked).chosen_recipe()
    build = discover.builder("recipes", asked["recipe"])
    changed = discover.parse_settings(build, settings)
    with (
        bar(session.CALIBRATED_PICTURES, "picture", "calibrate") as measured,
        bar(0, "picture", "reading") as reading,
    ):
        return request.start(
            request.Request(settings=changed, **asked), device,
            on_measured=lambda path: measured.update(), on_read=lambda path: reading.update(),
            notify=say,
        )  # fmt: skip


def _stated(context: click.Context, asked: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave."""
    line = click.core.ParameterSource.COMMANDLINE
    return {n: v for n, v in asked.items() if context.get_parameter_source(n) == line}


def _go_on(
    folder: Path, stated: dict[str, Any], settings: tuple[str, ...], device: torch.device
) -> TrainingJob:
    from ssl_restore.training import request  # noqa: PLC0415

    if settings:
        stated = {**stated, "settings": settings}
    with bar(0, "picture", "reading") as reading:
        return request.resume(folder, device, on_read=lambda path: reading.update(), **stated)


def _train(job: TrainingJob, resume: bool, precision: str) -> None:
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.training import group, session  # noqa: PLC0415

    plan = job.plan
    total = plan.steps or plan.seconds or 0.0
    measure = discover.measure(job.recipe.task)
    rows = session.train(
        job, resume=resume, precision=precision, measure=measure,
        judge=discover.judge(job.recipe.task),
        notify=lambda line: say(f"\n{line}"),
    )  # fmt: skip
    with bar(round(total), "step" if plan.steps else "s", "fit") as shown, _interrupts() as asked:
        for row in rows:
            shown.update((row.step if plan.steps else int(row.seconds)) - shown.n)
            if row.step % 10 == 0:
                shown.set_postfix({k: f"{v:.4f}" for k, v in row.losses.items()})
            if group.any_rank(bool(asked), job.device):
                rows.close()  # saves
                group.barrier()  # torchrun ends the others as soon as one has
                click.echo(
                    f"\nsaved; go on with: ssl-restore fit --resume {job.run.folder}", err=True
                )
                sys.exit(130)


@contextmanager
def _first_speaks() -> Iterator[None]:
    """Of several processes that do the same the first one says so; errors are said by each."""
    from ssl_restore.training import group  # noqa: PLC0415

    if group.rank() == 0:
        yield
        return
    with Path(os.devnull).open("w") as silence, redirect_stdout(silence), redirect_stderr(silence):
        yield


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that Ctrl-C adds to, so that no step is cut in half; a second one acts at once.

    Under torchrun, which passes on the one that each has had from the terminal, it does not.
    """
    from ssl_restore.training import group  # noqa: PLC0415

    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        if group.world() == 1:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
