"""The networks that are installed with the package, with a model card beside each."""

from __future__ import annotations

from pathlib import Path


def default() -> Path:
    """The built-in restorer that `derain` uses and `fit` starts from."""
    return Path(__file__).parent / "derain.safetensors"


def rain_estimator() -> Path:
    """What `calibrate` tells the numbers of rain with."""
    return Path(__file__).parent / "rain_estimator.safetensors"
