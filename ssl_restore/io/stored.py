"""Work on the pictures of an object store: which go where, and what was done, so that it can go on.

    .ssl-restore.000001-9f3c01ab.jsonl    lines of `io.manifest`, at most `_PART` of them

Objects beside the results are the manifest; the newest is put anew with each line. A result has two
lines: one before it is put, which knows no more of it than its size, and one with the mark (ETag or
time) by which the store tells it from others.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ssl_restore.errors import UserError
from ssl_restore.io import names
from ssl_restore.io.folders import ResumeFolder
from ssl_restore.io.manifest import Identity, Manifest, State, Whole, whole_lines
from ssl_restore.io.objects import Place

_PARTS = re.compile(r"\.ssl-restore\.(\d{6})-[0-9a-f]{8}\.jsonl")
_PART = 1000  # lines: 300 kB, put in a fraction of a second


class StoredManifest(Manifest):
    """Of the results in a folder of a store.

    Args:
        place: The folder.
        settings: As of `Manifest`.
        there: Name -> identity of all that is in it.
    """

    def __init__(
        self, place: Place, settings: Mapping[str, Any], there: Mapping[str, Identity]
    ) -> None:
        self.place, self._there = place, there
        self._parts = sorted(name for name in there if _PARTS.fullmatch(name))
        self._lines_of_part: list[str] = []
        self._waiting: list[str] = []
        super().__init__(Path(), settings)

    def _lines(self) -> Iterator[dict[str, Any]]:
        paths = [self.place.below(name).path for name in self._parts]
        for part in self.place.contents(paths):
            yield from whole_lines(part.decode("utf-8", "replace"))

    def state(self, target: Path, source: Identity) -> State:
        name = target.as_posix()
        there, entries = self._there.get(name), self._written.get(name, [])
        if there is None:
            return State.NONE
        entry = next((one for one in reversed(entries) if one.file == there), None)
        if entry is None and entries and entries[-1].file == (there[0], 0):
            entry = entries[-1]  # put, but then the run was killed
            self.record(target, entry.source, Whole(there, entry.digest))
        if entry is None:
            return State.FOREIGN
        same = (entry.by, entry.source) == (self.key, source)
        return State.DONE if same else State.OTHER

    def _append(self, line: Mapping[str, Any]) -> None:
        self._waiting.append(json.dumps(line))

    def begin(self) -> None:
        """Put the settings, which fails where nothing can be written."""
        self._know()
        self.commit()

    def commit(self) -> None:
        """Put the lines that wait, together."""
        if not self._waiting:
            return
        if not self._lines_of_part or len(self._lines_of_part) >= _PART:
            number = int(_PARTS.fullmatch(self._parts[-1])[1]) if self._parts else 0  # type: ignore[index]
            self._parts.append(f".ssl-restore.{number + 1:06}-{secrets.token_hex(4)}.jsonl")
            self._lines_of_part = []
        self._lines_of_part += self._waiting
        self._waiting = []
        text = "".join(f"{line}\n" for line in self._lines_of_part)
        self.place.below(self._parts[-1]).put_bytes(text.encode())


@dataclass(frozen=True)
class StoredJob:
    """An object to restore and where the result goes."""

    source: str  # address or path, as is `target`
    target: str
    name: str  # of the target, in its folder
    identity: Identity  # of the source
    manifest: StoredManifest
    quality: int | None = None
    layer: None = None

    def record(self, target: object, whole: Whole) -> None:
        self.manifest.record(Path(self.name), self.identity, whole)


def plan(
    source: str,
    output: str,
    resume: ResumeFolder,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    form: str | None = None,
    quality: int | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> list[StoredJob]:
    """What to restore into what, as `folders.plan`: an object or a folder into a folder.

    UserError where results exist, as of `folders.plan`, where a store does not answer, and where
    nothing can be written into it.
    """
    out = Place.at(output)
    found = _pictures(Place.at(source), out, recursive, notify)
    suffix = None if form is None else names.suffix_of(form)
    results = [path.as_posix() for path in names.results([Path(name) for name in found], suffix)]
    there = out.objects(deep=True)
    manifest = StoredManifest(out, resume.settings(), there)
    existing = [name for name in results if name in there]
    if existing and not (overwrite or resume.skip):
        raise UserError(
            f"{output}: {len(existing)} of {len(results)} results exist ({existing[0]} ...); "
            "`skip_existing` goes on with the others, `overwrite` replaces them, or give another "
            "folder"
        )
    jobs, again = [], 0
    for (place, identity), result in zip(found.values(), results, strict=True):
        target = out.below(result).address
        job = StoredJob(place.address, target, result, identity, manifest, quality)
        state = manifest.state(Path(result), identity)
        if resume.skip and state is State.DONE:
            resume.on_done(job)  # type: ignore[arg-type]
            continue
        if resume.skip and state is State.FOREIGN and not overwrite:
            raise UserError(
                f"{target}: exists, and the manifest beside it does not say how it was made, or it "
                "was changed since; `overwrite` makes such anew, or give another folder"
            )
        again += state is State.OTHER
        jobs.append(job)
    if resume.skip and again:
        notify(f"{output}: {again} of other settings, weights or sources are made anew")
    if jobs:
        manifest.begin()
    return jobs


def _pictures(
    given: Place, out: Place, recursive: bool, notify: Callable[[str], None]
) -> dict[str, tuple[Place, Identity]]:
    """Name -> place and identity of each picture, by suffix, hidden ones left out, in natural
    order; results are no inputs."""
    if given.is_same(out):
        raise UserError(f"{out.address}: is the input itself; inputs are kept, give another output")
    alone = given.identity()
    if alone is not None:
        return {PurePosixPath(given.path).name: (given, alone)}
    found, others = [], 0
    for name, identity in given.objects(deep=recursive).items():
        place, parts = given.below(name), PurePosixPath(name).parts
        result = out.holds(place) and not out.holds(given)
        if result or any(part.startswith(".") for part in parts):  # as ".." does
            continue
        if names.is_read(Path(name)):
            found.append((name, (place, identity)))
        else:
            others += 1
    if not found:
        raise UserError(f"{given.address}: no picture in it; check the address, or say `recursive`")
    if others:
        notify(f"{given.address}: left out {others} objects that are no pictures")
    return dict(sorted(found, key=lambda one: names.natural_order(Path(one[0]))))
