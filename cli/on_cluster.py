"""What `--cluster` changes of the commands of `restoration`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .progress import bar
from .streams import STREAM

if TYPE_CHECKING:
    from ssl_restore.io.jobs import Job

    from .restoration import Files


def check(files: Files) -> None:
    """UsageError for what has no meaning there, and for addresses without it."""
    named = (*files.sources, files.output)
    if files.cluster is not None and STREAM in named:
        raise click.UsageError("--cluster takes files: leave - out")
    if files.cluster is not None and files.precision == "int8":
        raise click.UsageError("--cluster does not take int8: give another --precision")
    addresses = [name for name in named if "://" in name]
    if addresses and files.cluster is None:
        raise click.UsageError(f"{addresses[0]}: addresses take --cluster, as --cluster local")
    if addresses and len(files.sources) > 1:
        raise click.UsageError("of addresses, give one INPUT")


def notify(files: Files) -> Callable[[str], None]:
    """What is called with what a restorer says of a picture."""
    if files.cluster is None:
        return files.say
    from ssl_restore.inference.worker import Notes  # noqa: PLC0415

    return Notes()


def plan(files: Files, resume: Any, layers: Path | None) -> Any:
    """The jobs of addresses."""
    from ssl_restore.io import stored  # noqa: PLC0415

    if layers is not None:
        raise click.UsageError("--layers go to folders: leave addresses out")
    return stored.plan(
        files.sources[0], files.output, resume, recursive=files.recursive,
        overwrite=files.overwrite, form=files.form, quality=files.jpeg_quality, notify=files.say,
    )  # fmt: skip


def run(files: Files, jobs: list[Job], how: partial[list[str]], task: str) -> tuple[list[str], str]:
    """Do the jobs; the lines of those that failed, and how fast it was."""
    from ssl_restore.inference import cluster  # noqa: PLC0415
    from ssl_restore.io import locks  # noqa: PLC0415

    assert files.cluster is not None
    if not jobs:
        return [], ""
    start = time.perf_counter()
    shared = [Path(name) for name in (jobs[0].source, f"{files.output}/{locks.NAME}")]
    with bar(len(jobs), "picture", task) as shown:
        skipped = cluster.run_all(
            files.cluster, jobs, how, device=files.device, shared=shared, finished=files.report,
            progress=shown.update, notify=files.say,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    done = len(jobs) - len(skipped)
    return skipped, f"{done} pictures in {seconds:.1f} s ({3600 * done / seconds:.0f} an hour)"
