"""What the commands of the tasks share: `derain`, `denoise`, and those that come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import on_cluster, options
from . import output as echo
from .errors import Failed, as_options, report_skipped
from .options import F
from .progress import bar
from .streams import STREAM, Streams

if TYPE_CHECKING:
    from ssl_restore.inference.folders import Choose
    from ssl_restore.io.jobs import Job
    from ssl_restore.restorer import Restorer

# Parameters on which no result depends.
_NEUTRAL = {
    "sources", "source", "output", "overwrite", "recursive", "skip_existing", "json_lines", "form",
    "tile", "max_pixels", "device", "precision", "layers", "weights", "mask", "hints", "sheet",
    "others", "cluster",
}  # fmt: skip


def arguments(function: F) -> F:
    """INPUT, OUTPUT and every option that does not depend on what is removed."""
    for decorate in (
        options.precision_or_int8,
        options.device,
        options.max_pixels,
        options.tile,
        options.seed,
        options.cluster,
        options.quality,
        files,
        options.recursive,
        click.option(
            "--weights", type=options.PATH, help="Checkpoint of `fit`.  [default: built-in]"
        ),
        click.argument("output"),
        click.argument("sources", metavar="INPUT...", nargs=-1, required=True),
    ):
        function = decorate(function)
    return function


def files(function: F) -> F:
    """Options of how results are written."""
    for decorate in (
        options.json_lines,
        options.crf,
        options.codec,
        options.jpeg_quality,
        options.form,
        options.skip_existing,
        click.option("--overwrite", is_flag=True, help="Replace results that exist."),
    ):
        function = decorate(function)
    return function


@dataclass(frozen=True)
class Files:
    """What `arguments` gives."""

    sources: tuple[str, ...]
    output: str
    weights: Path | None
    recursive: bool
    overwrite: bool
    skip_existing: bool
    form: str | None
    jpeg_quality: int | None
    codec: str | None
    crf: int | None
    json_lines: bool
    quality: str
    seed: int
    tile: int | None
    max_pixels: int
    device: str
    precision: str
    cluster: str | None = None
    context: click.Context = field(default_factory=click.get_current_context)
    streams: Streams | None = None
    done: list[Job] = field(default_factory=list)  # that were skipped

    def opened(self, stack: ExitStack) -> Files:
        """With files in the place of standard input and output."""
        on_cluster.check(self)
        if self.streams is not None or STREAM not in (*self.sources, self.output):
            return self
        if self.json_lines and self.output == STREAM:
            raise click.UsageError("--json and the picture both go to standard output: give one")
        streams = stack.enter_context(Streams(self.sources, self.output, self.form))
        return replace(self, sources=streams.sources, output=streams.target, streams=streams)

    def alone(self, stack: ExitStack, layers: Path | None = None) -> None:
        """Keep other runs out of the folders that this one writes into."""
        from ssl_restore.io import names  # noqa: PLC0415
        from ssl_restore.io.clips.suffixes import is_clip  # noqa: PLC0415
        from ssl_restore.io.locks import only_run  # noqa: PLC0415

        one_picture = self.is_single() and not is_clip(Path(self.sources[0]))
        locked = self.streams is None and not self.addresses  # stores have no locks
        if locked and not one_picture and names.means_folder(self.output):
            folders = {path.resolve(): path for path in (layers, Path(self.output)) if path}
            for folder in folders.values():
                stack.enter_context(only_run(folder))

    def plan(
        self,
        layers: Path | None = None,
        also: Sequence[Path] = (),
        besides: Callable[[], Mapping[str, Any]] = dict,
    ) -> list[Job]:
        """What is to be done; `besides` tells what results depend on but options."""
        from ssl_restore.io import folders  # noqa: PLC0415
        from ssl_restore.io.clips.encoders import Encoding  # noqa: PLC0415

        resume = None
        if self.streams is None:
            resume = folders.ResumeFolder(
                lambda: {**settings(), **besides()}, self.skip_existing, self.done.append
            )
        if self.addresses:
            return on_cluster.plan(self, resume, layers)
        return folders.plan(
            self.sources, self.output, recursive=self.recursive, overwrite=self.overwrite,
            layers=layers, also=also, form=self.form, quality=self.jpeg_quality,
            clips=None if self.streams or self.cluster else Encoding(self.codec, self.crf),
            resume=resume, notify=self.say,
        )  # fmt: skip

    def say(self, line: str) -> None:
        """A line of the library on stderr, above the bar, in the words of the command; from any
        thread."""
        from tqdm import tqdm  # noqa: PLC0415

        with self.context.scope(cleanup=False):
            text = as_options(line)
        tqdm.write(self.streams.named(text) if self.streams else text, file=sys.stderr)

    def is_single(self) -> bool:
        """Whether one picture was asked for, and no folder or pattern."""
        return len(self.sources) == 1 and Path(self.sources[0]).is_file()

    @property
    def addresses(self) -> bool:
        """Whether pictures come from an object store, or go to one."""
        return any("://" in name for name in (*self.sources, self.output))

    @property
    def output_is_named(self) -> bool:
        return self.streams is None or not self.streams.to_stdout

    def weights_path(self, task: str) -> Path:
        from ssl_restore.inference.load import weights_path  # noqa: PLC0415

        return weights_path(self.weights, task=task, quality=self.quality)

    def load(self, task: str, *, trainable: bool = False) -> Restorer:
        """The restorer of the given weights, or the one built in for the task."""
        from ssl_restore import device  # noqa: PLC0415
        from ssl_restore.inference.load import load_restorer  # noqa: PLC0415

        on = device.choose(self.device if self.cluster is None else "cpu")
        return load_restorer(
            self.weights, on, task=task, quality=self.quality, trainable=trainable,
            precision=self.precision,
        )  # fmt: skip

    @property
    def beside_int8(self) -> str:
        """As `int8.beside`."""
        from ssl_restore.inference import int8  # noqa: PLC0415

        return int8.beside(self.precision)

    def report(self, job: Job, failure: str | None, status: str = "restored") -> None:
        """A line of JSON, where that was asked for."""
        if not self.json_lines:
            return
        line: dict[str, Any] = {"source": job.source, "target": job.target}
        if job.layer is not None:
            line["layer"] = job.layer
        line["status"] = status if failure is None else "failed"
        if failure is not None:
            line["error"] = as_options(failure)
        if self.streams is not None:
            line = {name: self.streams.named(str(value)) for name, value in line.items()}
        echo.line(line)


def settings() -> dict[str, Any]:
    """What a result of the running command depends on, besides its source and weights."""
    from ssl_restore import __version__  # noqa: PLC0415
    from ssl_restore.inference.load import fingerprint  # noqa: PLC0415

    context = click.get_current_context()
    given = {
        name: fingerprint(value) if isinstance(value, Path) and value.is_file() else value
        for name, value in context.params.items()
        if name not in _NEUTRAL
    }
    if context.params.get("precision") == "int8":  # of the others the last bit depends
        given["precision"] = "int8"
    return {"command": context.info_name, "version": __version__, **given}


def restore_files(
    task: str,
    files: Files,
    *,
    strength: float = 1.0,
    thorough: float | None = None,
    scale: int | None = 1,
    then: Files | None = None,
    layers: Path | None = None,
    layer: str | None = None,
    choose: Callable[..., Choose] | None = None,
) -> None:
    """Restore INPUT into OUTPUT; say how fast, and print where the results are.

    The `layer` of that name, or what was taken, goes to the folder `layers`; `scale` is that of
    `fine_to_coarse`; `then`, with its own weights, dehazes what is restored. `choose(restorer,
    quality=..., precision=..., notify=...)` gives what chooses the restorer of each picture.
    """
    from ssl_restore.inference import folders, wrappers  # noqa: PLC0415
    from ssl_restore.inference.load import fingerprint  # noqa: PLC0415
    from ssl_restore.weights import parts  # noqa: PLC0415

    with ExitStack() as stack:
        files = files.opened(stack)
        files.alone(stack, layers)

        def besides() -> dict[str, Any]:
            paths = [*parts(files.weights_path(task))]
            paths += [then.weights_path("dehaze")] if then is not None else []
            return {"weights": [fingerprint(path) for path in paths]}

        jobs = files.plan(layers, besides=besides)
        restorer, notify = files.load(task), on_cluster.notify(files)
        if thorough is not None:
            restorer = wrappers.with_thoroughness(restorer, thorough)
        chosen = None
        if choose is not None:
            chosen = choose(
                restorer, quality=files.quality, precision=files.beside_int8, notify=notify
            )
        restorer = wrappers.with_quality(restorer, files.quality)
        second = None if then is None else then.load("dehaze")
        if strength != 1:
            restorer = wrappers.Strength(restorer, strength)
            second = None if second is None else wrappers.Strength(second, strength)
        how = partial(
            folders.restore_all, restorer=restorer, scale=scale, tile=files.tile,
            precision=files.beside_int8, max_pixels=files.max_pixels, then=second, layer=layer,
            choose=chosen, notify=notify, said=set(),
        )  # fmt: skip
        if files.cluster is not None:
            return conclude(files, jobs, *on_cluster.run(files, jobs, how, task))
        start, pixels, frames = time.perf_counter(), 0, 0
        with bar(0, "pixel", task, unit_scale=True) as shown:

            def progress(count: int, expected: int) -> None:
                nonlocal pixels
                pixels += count
                shown.total = expected
                shown.update(count)

            def frame_done() -> None:
                nonlocal frames
                frames += 1
                shown.set_postfix_str(f"{frames / (time.perf_counter() - start):.2f} frames/s")

            skipped = how(jobs, progress=progress, frame_done=frame_done, finished=files.report)
        seconds = time.perf_counter() - start
        rate = pixels / 1e6 / seconds
        speed = f"{pixels / 1e6:.1f} Mpixel in {seconds:.1f} s ({rate:.2f} Mpixel/s)"
        if frames:
            speed += f", {frames} frames ({frames / seconds:.2f} frames/s)"
        conclude(files, jobs, skipped, speed)


def conclude(files: Files, jobs: Sequence[Job], skipped: list[str], how: str) -> None:
    """Say what was restored, print where it is, and fail if something was not."""
    for job in files.done:
        files.report(job, None, "exists")
    if files.done:
        click.echo(f"{len(files.done)} exist already", err=True)
    single = files.is_single() and len(jobs) + len(files.done) == 1
    if skipped and single:
        raise Failed(as_options(skipped[0]))
    report_skipped(skipped)
    restored = len(jobs) - len(skipped)
    if restored:
        click.echo(f"{restored} restored, {how}", err=True)
    if files.streams is not None:
        files.streams.finish()
    if (restored or files.done) and files.output_is_named and not files.json_lines:
        folder = files.output if files.addresses else Path(files.output)
        echo.path((jobs or files.done)[0].target if single else folder)
    if skipped:
        raise Failed(f"{len(skipped)} of {len(jobs)} pictures could not be restored")
