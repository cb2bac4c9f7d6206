"""Which pictures of two or three folders belong together: by name, or by a pattern of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ssl_restore.errors import UserError
from ssl_restore.io import formats, images


@dataclass(frozen=True)
class Pair:
    """A degraded picture, its clean partner, where there is one, and, where it was restored before,
    the result."""

    name: str
    degraded: Path
    clean: Path | None
    restored: Path | None = None


def pairs(
    degraded: Path | Mapping[str, Path],
    clean: Path | None,
    restored: Path | None = None,
    *,
    limit: int | None = None,
    pattern: str | None = None,
    recursive: bool = False,
    notify: Callable[[str], None] = lambda line: None,
) -> tuple[list[Pair], list[str]]:
    """Pairs by file name without suffix, and a line for each picture without a partner.

    Args:
        degraded: Folder of degraded pictures, or the pictures by their names.
        clean: Folder of the truths, or None.
        restored: Folder of results under the names of the degraded ones, or None.
        limit: The first so many degraded pictures.
        pattern: How a truth is called, as of `partner_by`.
        recursive: Search sub-folders; pairs then are in sub-folders of one name.
        notify: Called with a line for what a folder holds besides.

    Raises:
        UserError: For a folder without pictures or with two of one name, where none has a partner,
            and for a pattern that is none.
    """
    partner = partner_by(pattern) if pattern is not None else lambda name: name
    inputs = degraded if not isinstance(degraded, Path) else by_name(degraded, recursive, notify)
    cleans = by_name(clean, recursive, notify) if clean is not None else {}
    results = by_name(restored, recursive, notify) if restored is not None else {}
    matched, skipped = [], []
    for name, path in list(inputs.items())[:limit]:
        wanted = partner(name)
        if wanted is None:
            skipped.append(f"{path}: its name is not as `pair` says, {pattern}")
        elif clean is not None and wanted not in cleans:
            other = "of that name" if wanted == name else f"named {wanted}"
            skipped.append(f"{path}: no picture {other} in {clean}")
        elif restored is not None and name not in results:
            skipped.append(f"{path}: no picture of that name in {restored}")
        else:
            matched.append(Pair(name, path, cleans.get(wanted), results.get(name)))
    if not matched:
        where = degraded if isinstance(degraded, Path) else restored or clean
        raise UserError(
            f"{where}: none of its pictures has a partner of the same name, or of one that "
            f"`pair` says: {skipped[0]}"
        )
    return matched, skipped


def by_name(
    folder: Path, recursive: bool, notify: Callable[[str], None] = lambda line: None
) -> Mapping[str, Path]:
    """The pictures of a folder by their names without suffix; UserError for two of one name."""
    paths: dict[str, Path] = {}
    for path in images.find(folder, recursive=recursive, notify=notify):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in paths:
            raise UserError(
                f"{folder}: {paths[name].name} and {path.name} have one name; move one away"
            )
        paths[name] = path
    return paths


def partner_by(pattern: str) -> Callable[[str], str | None]:
    """What gives the name of a picture's partner, by a pattern `rain-{}=norain-{}`.

    On the left `{}` stands for any text and `*` for any text that the partner's name lacks; on the
    right `{}` is what they stood for, in turn: `{}_*={}` pairs 1_1, 1_2 ... with 1. The folder of a
    name stays as it is. None for a name that is not as the left side says.

    Raises:
        UserError: For a pattern without one `=`, or with more `{}` on the right.

    Example:
        >>> partner_by("rain-{}=norain-{}")("night/rain-001")
        'night/norain-001'
    """
    left, equals, right = pattern.partition("=")
    left, right = _without_suffix(left), _without_suffix(right)
    if not equals or "=" in right or "{}" not in right or right.count("{}") > left.count("{}"):
        raise UserError(
            f"{pattern!r}: write how two names belong together, as rain-{{}}=norain-{{}}",
            parameter="pair",
        )
    expression = "".join(
        {"{}": "(.+)", "*": ".*"}.get(part, re.escape(part))
        for part in re.split(r"(\{\}|\*)", left)
    )

    def partner(name: str) -> str | None:
        path = PurePosixPath(name)
        match = re.fullmatch(expression, path.name, re.DOTALL)
        if match is None:
            return None
        texts = iter(match.groups())
        found = "".join(
            next(texts) if part == "{}" else part for part in re.split(r"(\{\})", right)
        )
        return path.with_name(found).as_posix()

    return partner


def _without_suffix(side: str) -> str:
    suffix = PurePosixPath(side).suffix
    return side.removesuffix(suffix) if suffix.lower() in formats.READ else side
