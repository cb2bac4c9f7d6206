"""Which files are meant by what a user wrote, and what their results are called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io import formats
from ssl_restore.io.clips.suffixes import CLIPS, CONTAINERS, is_clip

_SLASHES = tuple({"/", os.sep})


def means_folder(written: str | Path) -> bool:
    """Whether a name that may not exist yet is that of a folder: it ends with a slash, is one, or
    has no suffix."""
    path = Path(written)
    return str(written).endswith(_SLASHES) or path.is_dir() or not path.suffix


def expanded(written: Sequence[str | Path], *, clips: bool = False) -> list[Path]:
    """The files and folders that are meant: a name that does not exist may be a pattern, as
    `rain*.png`, or `**/*.png` with sub-folders.  Of pictures, and of `clips` where they are wanted.

    UserError for one that nothing matches, and for a file with a slash at its end.
    """
    paths: list[Path] = []
    for one in written:
        path, pattern = Path(one), glob.has_magic(str(one))
        if os.path.lexists(path) or not pattern:
            if str(one).endswith(_SLASHES) and path.exists() and not path.is_dir():
                raise UserError(f"{one}: is a file, not a folder; leave the slash out")
            if not path.exists():
                raise UserError(f"{one}: no such file or folder; check the spelling")
            paths.append(path)
            continue
        matches = sorted(map(Path, glob.glob(str(one), recursive=True)), key=natural_order)
        matches = [match for match in matches if match.is_dir() or is_read(match, clips=clips)]
        if not matches:
            raise UserError(f"{one}: no picture or folder has such a name; check the pattern")
        paths += matches
    return list(dict.fromkeys(paths))


def is_read(path: Path, *, clips: bool = False) -> bool:
    """Whether a file is a picture, or a clip where such are wanted, by its suffix."""
    return _suffix(path) in formats.READ or (clips and _suffix(path) in CLIPS)


def natural_order(path: Path) -> tuple[list[list[int | str]], tuple[str, ...]]:
    """A key by which 2 comes before 10."""
    return [formats.numbered(part) for part in path.parts], path.parts


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def suffix_of(form: str) -> str:
    """`.png` of `png`, `.PNG` or the like; UserError for a format that is not written."""
    suffix = f".{form.lower().removeprefix('.')}"
    if suffix not in formats.WRITTEN:
        known = ", ".join(known[1:] for known in formats.WRITTEN)
        raise UserError(f"{form!r} is unknown; use one of {known}", parameter="form")
    return suffix


def results(sources: Sequence[Path], suffix: str | None = None) -> list[Path]:
    """What the results of relative paths are called, one another's names never.

    The same, but with `suffix` where that is given and means another format, and with .png where
    the format is only read.  Of a.gif and a.png, whose results would both be a.png, that of the
    first is a.gif.png.
    """
    wanted = [source.with_suffix(_suffix_for(source, suffix)) for source in sources]
    count = Counter(str(name).casefold() for name in wanted)
    return [
        name if name == source or count[str(name).casefold()] == 1
        else source.with_name(source.name + name.suffix)
        for name, source in zip(wanted, sources, strict=True)
    ]  # fmt: skip


def _suffix_for(source: Path, suffix: str | None) -> str:
    if is_clip(source):
        return source.suffix if _suffix(source) in CONTAINERS else ".mkv"
    own = formats.WRITTEN.get(_suffix(source))
    if suffix is None:
        return source.suffix if own else ".png"
    return source.suffix if own is formats.WRITTEN[suffix] else suffix


def labels(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its own, or with its folders where another has that, too."""
    count = Counter(path.name for path in paths)
    if len(count) == len(paths):
        return [path.name for path in paths]
    common = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    return [
        path.name if count[path.name] == 1 else path.absolute().relative_to(common).as_posix()
        for path in paths
    ]
