"""Which pictures go where: names are kept, and inputs never overwritten."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl_restore.errors import UserError, WrongCall
from ssl_restore.io import formats, images, names, places
from ssl_restore.io.clips import segments
from ssl_restore.io.clips.encoders import Encoding
from ssl_restore.io.clips.suffixes import CONTAINERS, is_clip, is_written
from ssl_restore.io.files import check_space, same_file
from ssl_restore.io.jobs import AsClip, Job
from ssl_restore.io.manifest import Identity, Manifest, State, Whole, identity
from ssl_restore.io.search import no_results


@dataclass(frozen=True)
class ResumeFolder:
    """How work in a folder goes on, by the manifests of the folders that are written."""

    settings: Callable[[], Mapping[str, Any]]  # all that results depend on besides their sources
    skip: bool = False  # leave out what is done
    on_done: Callable[[Job], object] = lambda job: None  # called for each of those


def plan(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    layers: Path | None = None,
    also: Sequence[Path] = (),
    form: str | None = None,
    quality: int | None = None,
    clips: Encoding | None = None,
    resume: ResumeFolder | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> list[Job]:
    """What to restore into what; nothing is read or written yet.

    A file goes to a file (the suffix may ask for another format) or into a folder: one that
    exists, or a name without a suffix or with a slash at its end. A folder goes to a folder under
    the same names, several inputs into a folder, each file under its name and each folder under
    its own. A pattern is what it matches. What was taken goes to the folder `layers`, as .png.

    A clip goes to a clip, or its frames, as .png, to a folder; of several inputs, and in a folder,
    to a clip of its name. A folder goes to a clip where the output has such a suffix.

    Args:
        sources: Files, folders and patterns.
        output: A file or a folder.
        recursive: Search sub-folders, too.
        overwrite: Replace results that exist.
        layers: Folder of what was taken.
        also: Inputs beside the pictures.
        form: Format of the results, as `png`; None: as the inputs, or PNG where that is only read.
        quality: Of results that are JPEG or AVIF; None: as `images.write` has it.
        clips: How clips are written; None: they are no inputs.
        resume: Keeps a manifest of a folder, and may leave out what that says is done.
        notify: Called with a line for what a folder holds besides.

    Raises:
        UserError: When a result would replace an input, when two would have one name, when one
            exists (unless `overwrite`; with `resume.skip` only one that is in no manifest), and
            when the parent folder of the output does not exist.
    """
    written = [sources] if isinstance(sources, (str, Path)) else list(sources)
    suffix = None if form is None else names.suffix_of(form)
    paths = names.expanded(written, clips=clips is not None)
    for path in paths:
        if same_file(path, Path(output)):
            raise UserError(f"{output}: is the input itself; inputs are kept, give another output")
    single = len(paths) == 1 and not paths[0].is_dir()
    if clips is not None and len(paths) == 1 and is_written(Path(output)):
        single, jobs = True, [_plan_clip(paths[0], Path(output))]
    elif clips is not None and single and is_clip(paths[0]):
        single, jobs = False, _plan_frames(paths[0], output, suffix)
    elif single:
        jobs = [_plan_file(paths[0], output, suffix)]
    else:
        jobs = _plan_folder(paths, output, recursive, suffix, clips is not None, notify)
    jobs = [replace(job, quality=quality) for job in jobs]
    if layers is not None:
        jobs = _with_layers(jobs, paths, layers)
    _check(jobs, [*(job.source for job in jobs), *also])
    if clips is not None:
        jobs = [_with_clip(job, clips, resume, overwrite) for job in jobs]
    if resume is not None and (not single or resume.skip):
        jobs = _to_do(jobs, resume, _root(jobs, output, single), layers, overwrite, notify)
    if not overwrite and not (resume and resume.skip):
        _refuse_existing(jobs, output, single=single)
    for root in filter(None, (_root(jobs, output, single) if jobs else None, layers)):
        places.check(root, _results(jobs))
    if jobs:
        pictures = [job for job in jobs if job.number is None and job.as_clip is None]
        likely = places.likely_size((job.source, job.target) for job in pictures)
        check_space(jobs[0].target.parent, likely, notify)
    return jobs


def _check(jobs: list[Job], inputs: Sequence[Path]) -> None:
    """UserError for results that must not be written."""
    given = {_identity(path) for path in inputs if path.exists()}
    owners: dict[Path, Job] = {}
    for job in jobs:
        other = owners.setdefault(job.target, job)
        if other is not job:
            raise UserError(
                f"{job.target}: would be the result of {other.source} and of {job.source}; restore "
                "them into folders of their own"
            )
    files = {target.absolute() for target in owners}
    for path in _results(jobs):
        if path.exists() and _identity(path) in given:
            raise UserError(f"{path}: is one of the inputs; give another output")
        if path.absolute().parent in files:
            raise UserError(f"{path.parent}: would be a result and a folder; give another folder")


def _results(jobs: Sequence[Job]) -> list[Path]:
    return [path for job in jobs for path in (job.target, job.layer) if path is not None]


def _refuse_existing(jobs: list[Job], output: str | Path, *, single: bool) -> None:
    results = _results(jobs)
    existing = [path for path in results if os.path.lexists(path)]
    if existing and single:
        raise UserError(f"{existing[0]}: exists; `overwrite` replaces it, or give another name")
    if existing:
        raise UserError(
            f"{output}: {len(existing)} of {len(results)} results exist ({existing[0].name} ...); "
            "`skip_existing` goes on with the others, `overwrite` replaces them, or give another "
            "folder"
        )


def _root(jobs: Sequence[Job], output: str | Path, single: bool) -> Path:
    return jobs[0].target.parent if single else Path(output)


def _to_do(
    jobs: Sequence[Job],
    resume: ResumeFolder,
    root: Path,
    layers: Path | None,
    overwrite: bool,
    notify: Callable[[str], None],
) -> list[Job]:
    """The jobs that are not done, each with what records it; UserError where a result is no known
    one."""
    settings = resume.settings()
    manifests = {folder: Manifest(folder, settings) for folder in (root, layers) if folder}
    left, again = [], 0
    for job in jobs:
        try:
            source = identity(job.source)
        except OSError:  # it vanished, which its reader says
            left.append(job)
            continue

        def record(
            path: Path, temporary: Path | Whole, job: Job = job, source: Identity = source
        ) -> None:
            folder = root if path == job.target or layers is None else layers
            manifests[folder].record(path, source, temporary, path=job.source)

        states = {manifests[root].state(job.target, source)}
        if job.layer is not None and layers is not None:
            states.add(manifests[layers].state(job.layer, source))
        if resume.skip and states == {State.DONE}:
            if job.as_clip is not None:
                segments.remove(job.target)
            resume.on_done(job)
            continue
        if resume.skip and State.FOREIGN in states and not overwrite:
            raise foreign(job.target, manifests[root])
        again += State.OTHER in states
        left.append(replace(job, record=record))
    if resume.skip and again:
        notify(f"{root}: {again} of other settings, weights or sources are made anew")
    return left


def foreign(path: Path, manifest: Manifest) -> UserError:
    """For a file in the place of a result that a manifest does not know."""
    why = f"{manifest.path} does not say how it was made, or it was changed since"
    if not manifest.path.exists():
        why = "nothing says how it was made (of a picture alone only runs with `skip_existing` do)"
    return UserError(f"{path}: exists, and {why}; `overwrite` makes it anew, or give another name")


def _plan_file(source: Path, output: str | Path, suffix: str | None) -> Job:
    path, into_folder = Path(output), names.means_folder(output)
    if not into_folder and path.suffix.lower() not in formats.WRITTEN:
        raise WrongCall(
            f"{output}: unknown suffix {path.suffix!r}; use one of {', '.join(formats.WRITTEN)}, "
            "or name a folder, with a slash at its end"
        )
    _need_parent(path)
    if into_folder and os.path.lexists(path) and not path.is_dir():
        raise UserError(f"{path}: is a file; give a picture's name or a folder")
    if into_folder:
        (name,) = names.results([Path(source.name)], suffix)
        return Job(source, path / name)
    if suffix is not None and formats.WRITTEN[suffix] is not formats.WRITTEN[path.suffix.lower()]:
        raise UserError(f"{suffix[1:]} is not what {path} says; leave one out", parameter="form")
    return Job(source, path)


def _plan_clip(source: Path, target: Path) -> Job:
    if not (source.is_dir() or is_clip(source)):
        raise WrongCall(f"{target}: a picture does not become a clip; give a clip or a folder")
    _need_parent(target)
    return Job(source, target)


def _plan_frames(source: Path, output: str | Path, suffix: str | None) -> list[Job]:
    """The frames of a clip as pictures."""
    from ssl_restore.io import shots  # noqa: PLC0415

    folder = Path(output)
    if not names.means_folder(output):
        raise WrongCall(
            f"{output}: unknown suffix {folder.suffix!r}; use one of {', '.join(CONTAINERS)}, or "
            "name a folder"
        )
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{output}: is a file; give a clip or a folder")
    _need_parent(folder)
    return [
        Job(source, folder / f"{frame.name}{suffix or '.png'}", number=frame.number)
        for frame in shots.frames(source)
    ]


def _with_clip(job: Job, clips: Encoding, resume: ResumeFolder | None, overwrite: bool) -> Job:
    """A job with how its clip is written, where its result is one."""
    if job.number is None and not is_written(job.target):
        return job
    if job.layer is not None:
        raise WrongCall(f"{job.source}: layers of a clip are not written; leave them out")
    if job.number is not None:
        return job
    clips.check(job.target)
    pieces = segments.ANEW
    if resume is not None:
        pieces = segments.ResumeClip(resume.settings(), resume.skip, overwrite)
    return replace(job, as_clip=AsClip(clips, pieces))


def _plan_folder(
    paths: Sequence[Path],
    output: str | Path,
    recursive: bool,
    suffix: str | None,
    clips: bool,
    notify: Callable[[str], None],
) -> list[Job]:
    folder = Path(output)
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{output}: is a file; for a folder of pictures give a folder")
    if len(paths) > 1 and not names.means_folder(output):
        raise WrongCall(f"{output}: several pictures go to a folder; put a slash at its end")
    _need_parent(folder)
    sources, relative = list[Path](), list[Path]()
    for path in paths:
        if not path.is_dir():
            found, below = [path], path.parent
        else:
            every = images.find(path, recursive=recursive, clips=clips, notify=notify)
            found = no_results(every, path, folder)
            below = path if len(paths) == 1 else path.parent
            if not found:
                raise UserError(f"{path}: no picture in it but those in the output folder {output}")
        sources += found
        relative += [one.relative_to(below) for one in found]
    results = names.results(relative, suffix)
    return [Job(one, folder / name) for one, name in zip(sources, results, strict=True)]


def _with_layers(jobs: list[Job], paths: Sequence[Path], layers: Path) -> list[Job]:
    if os.path.lexists(layers) and not layers.is_dir():
        raise UserError(f"{layers}: is a file; give a folder", parameter="layers")
    _need_parent(layers)
    root = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    relative = [Path(job.source.name) if root is None else job.source.relative_to(root)
                for job in jobs]  # fmt: skip
    count = Counter(path.with_suffix("") for path in relative)
    found = [  # a.png; of a.jpg and a.png a.jpg.png and a.png.png
        path.with_suffix(".png") if count[path.with_suffix("")] == 1 else Path(f"{path}.png")
        for path in relative
    ]
    twice = next((name for name, number in Counter(found).items() if number > 1), None)
    if twice is not None:
        raise UserError(f"{layers}: layers of two pictures would be {twice}; rename one of them")
    if any(layers.resolve() == job.target.resolve().parent for job in jobs):
        raise UserError(f"{layers}: the results go there; give another folder", parameter="layers")
    return [replace(job, layer=layers / name) for job, name in zip(jobs, found, strict=True)]


def _need_parent(output: Path) -> None:
    if not output.is_dir() and not output.absolute().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; create it first")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
