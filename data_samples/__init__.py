"""The photographs installed with the package: the clean pictures of a `fit` without `--clean`."""

from __future__ import annotations

from pathlib import Path


def photographs() -> Path:
    """The folder of clean photographs; their licences are in README.md beside it."""
    return Path(__file__).parent / "photos"


def rainy_example() -> Path:
    """One rainy picture made with this project's own `synth-rain`."""
    return Path(__file__).parent / "rainy_example.png"
