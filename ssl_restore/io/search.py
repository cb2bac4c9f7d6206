"""The pictures of a folder, and what else is in it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io import formats
from ssl_restore.io.names import is_read, natural_order


def find(
    folder: str | Path,
    *,
    recursive: bool = False,
    clips: bool = False,
    notify: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """The pictures of a folder by suffix, hidden ones left out, in natural order: 2 before 10.

    With `clips` these, too.  Linked folders are searched like others, each once.  `notify` gets a
    line that counts by suffix what is neither, and the sub-folders that were not searched.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}; name a folder of pictures")
    pictures, others, deeper = [], Counter[str](), 0
    for path in _walk(folder, recursive, notify):
        if is_read(path, clips=clips) and path.is_file():
            pictures.append((natural_order(path.relative_to(folder)), path))
        elif path.is_dir():
            deeper += not recursive
        elif path.is_file():
            others[path.suffix.lower() or "without a suffix"] += 1
        else:  # a link that leads nowhere, a pipe
            others["without a file behind the name"] += 1
    left_out = _left_out(others, deeper)
    if not pictures:
        searched = " (its folders were not searched)" if deeper else ""
        raise UserError(
            f"{folder}: no picture in it{searched}; looked for {', '.join(formats.READ)}"
            + (f"; there are {left_out}" if left_out else "")
        )
    if left_out:
        notify(f"{folder}: left out {left_out}")
    return [path for *_, path in sorted(pictures)]


def no_results(pictures: Sequence[Path], folder: Path, output: Path) -> list[Path]:
    """Those that were found in a folder but not in the output folder, where an earlier run left its
    results; all of them where the whole folder lies in that one."""
    inside = output.resolve()
    if inside in folder.resolve().parents:
        return list(pictures)
    return [one for one in pictures if inside not in one.resolve().parents]


def _walk(folder: Path, recursive: bool, notify: Callable[[str], None]) -> Iterator[Path]:
    """All that is in a folder but hidden names; of links that lead in a circle one round. A
    sub-folder that cannot be read is named in a line."""
    above: set[tuple[int, int]] = set()

    def walk(place: Path) -> Iterator[Path]:
        try:
            status, entries = place.stat(), list(os.scandir(place))
        except OSError as error:
            if place == folder:
                raise
            notify(f"{place}: not searched: {error.strerror}")
            return
        if (status.st_dev, status.st_ino) in above:
            return
        above.add((status.st_dev, status.st_ino))
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.startswith("."):
                yield Path(entry.path)
                if recursive and Path(entry.path).is_dir():  # which is False of links in a circle
                    yield from walk(Path(entry.path))

    yield from walk(folder)


def _left_out(others: Counter[str], deeper: int) -> str:
    counted = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    folders = f"{deeper} folder{'s' if deeper > 1 else ''} (`recursive` searches them)"
    return " and ".join(filter(None, (counted, folders if deeper else "")))
