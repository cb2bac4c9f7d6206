"""Noise on a bundled photograph, as a file holds it."""

from __future__ import annotations

import numpy as np

import ssl_restore_samples
from degradations.sampling import degrade
from ssl_restore import rng
from ssl_restore.io import images


def photograph(side):
    """A square of it, uint8."""
    pixels = images.read(ssl_restore_samples.photographs() / "fjord_turquoise.jpg").pixels
    return np.ascontiguousarray(pixels[:side, :side])


def with_noise(photo, prior, most=255, dtype=np.uint8):
    """Whole numbers up to `most`."""
    values = degrade(images.to_tensor(photo), prior, rng.derive(0, "noise"))
    return np.rint(values[0].permute(1, 2, 0).clamp(0, 1).numpy() * most).astype(dtype)
