"""Where results go: whether they may and can be written there, and how much it will be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.io.files import check_writable

_LOSSY = (".jpg", ".jpeg", ".jfif", ".avif", ".heic", ".jxl")
_GROWTH = 4.0  # of a lossy picture that is stored without loss, about; and the inverse


def check(root: Path, results: Iterable[Path]) -> None:
    """UserError where results cannot be written, or would go out of their folder by a link."""
    whole = root.resolve()
    for folder in {path.parent for path in results if root in path.parents}:
        place = folder.resolve()
        if whole != place and whole not in place.parents:
            raise UserError(
                f"{folder}: is a link that leads out of {root}; remove it, or give another folder"
            )
        check_writable(folder)


def likely_size(pictures: Iterable[tuple[Path, Path]]) -> float:
    """Bytes that results take, about, besides those of results that they replace; of (source,
    target) each."""
    return sum(_likely_size(source, target) for source, target in pictures)


def _likely_size(source: Path, target: Path) -> float:
    try:
        size = float(source.stat().st_size)
    except OSError:  # it vanished, which its reader says
        return 0.0
    before, after = (path.suffix.lower() in _LOSSY for path in (source, target))
    likely = size * _GROWTH ** (before - after)
    return max(0.0, likely - (target.stat().st_size if target.is_file() else 0))
