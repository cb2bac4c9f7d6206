"""From the subject of a page to the page: pictures are read, restored and scored one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ssl_restore.errors import UserError
from ssl_restore.evaluation import scoring
from ssl_restore.evaluation.no_reference import Measure
from ssl_restore.evaluation.pairing import Pair
from ssl_restore.evaluation.scoring import Method, Score
from ssl_restore.io import MAX_PIXELS, images
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb
from ssl_restore.io.used_range import used_share
from ssl_restore.report.album import LONGEST_PX, Album
from ssl_restore.report.contents import Comparison, Report, Scores, Shot
from ssl_restore.report.subject import Subject
from ssl_restore.types import Task

MAX_MB = 50.0
BEFORE, AFTER, TRUTH, SAMPLE = "before", "after", "truth", "sample"
WITH, WITHOUT = "Against the truth", "Without a truth"
_ROOM = 0.5e6  # bytes for all that is no picture


@dataclass(frozen=True)
class _Compared:
    """A pair, read, restored and scored."""

    pair: Pair
    shots: Mapping[str, Picture]
    scores: Mapping[str, Sequence[Score]]  # by heading


def collect(
    subject: Subject,
    *,
    max_mb: float = MAX_MB,
    max_pixels: int = MAX_PIXELS,
    tile: int | None = None,
    precision: str = "auto",
    progress: Callable[[int, int], object] = lambda done, expected: None,
) -> tuple[Report, list[str]]:
    """All of a page, and a line for each picture that could not be used.

    Args:
        subject: Of `subject.find`.
        max_mb: Size of the page; pictures that it has no room for are left out, which it says.
        max_pixels: Larger pictures are refused.
        tile: As of `restore_pixels`, for the restorers of a run.
        precision: Likewise.
        progress: Called with the number of pairs that are done, and of all.

    Raises:
        UserError: Where none of the pictures can be used, or the page has no room for one.
    """
    album, skipped, notes = Album(max_mb * 1e6 - _ROOM), list[str](), list(subject.notes)
    compared: list[_Compared] = []
    for number, pair in enumerate(subject.pairs):
        try:
            one = _compare(subject, pair, max_pixels, tile, precision)
        except UserError as error:
            skipped.append(str(error))
            continue
        finally:
            progress(number + 1, len(subject.pairs))
        if not album.add(one.shots):
            left = len(subject.pairs) - number
            notes.append(f"{left} more pictures would make this page larger than {max_mb:g} MB.")
            break
        compared.append(one)
    if subject.pairs and not compared:
        raise UserError(f"none of the pictures could be used: {skipped[0]}")
    comparisons = [_comparison(one, album, number) for number, one in enumerate(compared)]
    sheet = None
    if subject.sample is not None and album.add({SAMPLE: images.read(subject.sample)}):
        sheet = Shot(SAMPLE, album.uri(len(compared), SAMPLE))
    if compared:
        shown = f"Shown are {len(compared)} of {subject.available} pictures"
        notes.insert(0, f"{shown}, in full size, as JPEG of quality {album.quality}.")
    report = Report(
        subject.title, subject.subtitle, tuple(comparisons), _mean_scores(compared),
        subject.curves, subject.calibration, sheet, tuple(subject.facts), tuple(notes),
    )  # fmt: skip
    return report, skipped


def _compare(
    subject: Subject, pair: Pair, max_pixels: int, tile: int | None, precision: str
) -> _Compared:
    """UserError that names the file for one that cannot be read or shown, or is of another size."""
    opened = scoring.open_pair(pair, max_pixels=max_pixels)
    methods, measure = _measures(subject.task)
    restorers = {
        name: scoring.restoring(restorer, tile, precision)
        for name, restorer in subject.restorers.items()
    }
    methods = {name: _once(method) for name, method in {**methods, **restorers}.items()}
    without = replace(opened, pair=replace(pair, clean=None), clean=None)
    scores = {WITHOUT: list(scoring.measured(without, methods, measure))}
    if opened.clean is not None:
        scores = {WITH: list(scoring.measured(opened, methods, measure)), **scores}
    before = opened.degraded
    shots = {BEFORE: before}
    icc = before.icc if before.pixels.shape[2] == 3 else None
    for name in restorers:
        made = methods[name](eight_bit_rgb(before.pixels))
        shots[name if name != "restorer" else AFTER] = Picture(made, icc=icc)
    shots |= {AFTER: opened.restored} if opened.restored is not None else {}
    shots |= {TRUTH: opened.clean} if opened.clean is not None else {}
    for name, files in subject.layers.items():
        file = files.get(pair.name) or files.get(pair.name + pair.degraded.suffix)
        if file is not None:
            layer = images.read(file, max_pixels=max_pixels)
            used = max(opened.used, used_share(layer.pixels))
            key = name if name not in shots else f"{name} layer"
            shots[key] = scoring.in_8_bits(layer, used)
    _check_sizes(pair, shots)
    return _Compared(pair, shots, scores)


def _check_sizes(pair: Pair, shots: Mapping[str, Picture]) -> None:
    for name, picture in shots.items():
        height, width = picture.pixels.shape[:2]
        if max(height, width) > LONGEST_PX:
            raise UserError(
                f"{pair.degraded}: {name}, it is {width} x {height}, and a page shows up to "
                f"{LONGEST_PX} px a side; cut a part out of it"
            )


def _measures(task: Task | None) -> tuple[dict[str, Method], Measure]:
    """What is scored beside the results, and what the task itself measures without a truth."""
    if task is None:
        return {"input": lambda pixels: pixels}, lambda degraded, restored: {}
    return scoring.methods(task), task.measure


def _once(method: Method) -> Method:
    """The same for one picture, which it restores once."""
    results: list[Pixels] = []

    def result(degraded: Pixels) -> Pixels:
        if not results:
            results.append(method(degraded))
        return results[0]

    return result


def _comparison(one: _Compared, album: Album, group: int) -> Comparison:
    shots = {name: Shot(name, album.uri(group, name)) for name in one.shots}
    sizes = [picture.pixels.shape[:2] for picture in one.shots.values()]
    height, width = max(sizes)
    scores = [_table(heading, rows) for heading, rows in one.scores.items()]
    others = [shot for name, shot in shots.items() if name not in (BEFORE, AFTER)]
    return Comparison(
        one.pair.name, width, height, shots[BEFORE], shots[AFTER], tuple(others), tuple(scores)
    )


def _mean_scores(compared: Sequence[_Compared]) -> tuple[Scores, ...]:
    rows: dict[str, list[Score]] = {}
    for one in compared:
        for heading, scores in one.scores.items():
            rows.setdefault(heading, []).extend(scores)
    return tuple(_table(heading, found) for heading, found in rows.items())


def _table(heading: str, rows: Sequence[Score]) -> Scores:
    means = scoring.means(rows)
    keys = list(rows[0].scores)
    columns = tuple(scoring.HEADINGS.get(key, key) for key in keys)
    written = {
        method: tuple(_shown(scoring.written(key, scores[key])) for key in keys)
        for method, scores in means.items()
    }
    return Scores(heading, columns, written)


def _shown(number: str) -> str:
    return "–" if number == "nan" else number
