"""From a folder to a page: what `ssl-restore report` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ssl_restore.errors import UserError, WrongCall
from ssl_restore.io import MAX_PIXELS
from ssl_restore.io.files import check_target
from ssl_restore.report import page
from ssl_restore.report.collect import MAX_MB, collect
from ssl_restore.report.results import of_results
from ssl_restore.report.runs import of_run
from ssl_restore.report.subject import Asked, Notify, Subject
from ssl_restore.training.run import Run

EVERYTHING = Asked()
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Written:
    """What a user should know of a page that was written."""

    notes: tuple[str, ...]  # which are on the page, too
    skipped: tuple[str, ...]  # a line for each picture that could not be used


def write_report(
    folder: Path,
    output: Path,
    asked: Asked = EVERYTHING,
    *,
    overwrite: bool = False,
    max_mb: float = MAX_MB,
    max_pixels: int = MAX_PIXELS,
    tile: int | None = None,
    precision: str = "auto",
    device: torch.device = CPU,
    progress: Callable[[int, int], object] = lambda done, expected: None,
    notify: Notify = lambda line: None,
) -> Written:
    """Write the page of a folder of restored pictures, or of a run of `fit`.

    Args:
        folder: Of results, with the manifest that the commands write; or a run folder.
        output: The page, .html.
        asked: Which pictures, their truths and layers.
        overwrite: Replace a page that exists.
        max_mb: Size of the page; pictures are compressed more, then left out, which it says.
        max_pixels: Larger pictures are refused.
        tile: As of `restore`, for the restorers of a run; likewise `precision` and `device`.
        precision: See `tile`.
        device: See `tile`.
        progress: Called with the number of pictures that are done, and of all.
        notify: Called with a line for what a folder holds besides.

    Raises:
        UserError: For an output that exists or is no .html, a folder that holds neither a run nor
            pictures, a run that has saved nothing yet, and results of which nothing says what they
            were before.
    """
    _check_output(output, overwrite)
    subject = _subject(folder, asked, device, notify)
    report, skipped = collect(
        subject, max_mb=max_mb, max_pixels=max_pixels, tile=tile, precision=precision,
        progress=progress,
    )  # fmt: skip
    page.write(output, report)
    return Written(report.notes, tuple(skipped))


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() not in (".html", ".htm"):
        raise WrongCall(f"{output}: a page is named .html; give such a name")
    check_target(output, overwrite=overwrite)


def _subject(folder: Path, asked: Asked, device: torch.device, notify: Notify) -> Subject:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}; name a run folder of fit, or a folder of results")
    if Run(folder).exists():
        return of_run(folder, asked, device, notify)
    return of_results(folder, asked, notify)
