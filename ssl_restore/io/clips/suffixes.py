"""Which files are clips, by their suffix."""

from __future__ import annotations

from pathlib import Path

CLIPS = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".3gp",
)  # fmt: skip
CONTAINERS = {  # of results: suffix -> FFmpeg's name
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi",
}  # fmt: skip


def is_clip(path: Path) -> bool:
    return path.suffix.lower() in CLIPS and not path.is_dir()


def is_written(path: Path) -> bool:
    """Whether a result of this name is a clip."""
    return path.suffix.lower() in CONTAINERS and not path.is_dir()
