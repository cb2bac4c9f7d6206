"""A restorer that computes with integers of 8 bits: `--precision int8`.

How large activations are is measured on three photographs that are installed with the package and
the rainy one: as they are, with noise of two strengths, and grey. It takes a fraction of a second,
which pays for more than a few small ones. What does not compute with integers is in fp32: as
bfloat16 it is slower, because the sums of the blocks are not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ssl_restore.errors import UserError
from ssl_restore.inference.mixture import Mixture
from ssl_restore.io import images
from ssl_restore.networks import int8
from ssl_restore.restorer import Restorer

PRECISION = "int8"
SIDE_PX = 128  # of the pictures that are measured
NOISE = (0.0, 25 / 255, 60 / 255)  # deviations


def with_integers(restorer: Restorer) -> Restorer:
    """A copy whose residual blocks, but for the last, compute with integers of 8 bits.

    UserError for a restorer that has no such blocks or is not on the CPU, and where the processor
    or torch lacks what it takes.
    """
    if next(restorer.parameters()).device.type != "cpu":
        raise _refused("int8 is for processors; take the device cpu, or another precision")
    if not int8.is_exact():
        raise _refused("this processor, or this torch, lacks int8; use auto, bf16 or fp32")
    if isinstance(restorer, Mixture):
        return restorer.of_both(with_integers)
    if any(isinstance(part, int8.Int8Block) for part in restorer.modules()):
        return restorer
    ready = restorer.folded()
    ranges = int8.measured(ready, pictures()) if restorer.overview_px is None else {}
    if not ranges:
        raise _refused(
            f"int8 is for networks as that of derain and denoise, not for the "
            f"{type(restorer.core).__name__} of these weights; use auto, bf16 or fp32"
        )
    last = list(ranges)[-1]  # what it rounds shows in the result, and most in denoise
    return int8.quantised(ready, {name: ranges[name] for name in ranges if name != last})


def beside(precision: str) -> str:
    """The precision of all that does not compute with integers."""
    return "fp32" if precision == PRECISION else precision


def _refused(line: str) -> UserError:
    return UserError(line, parameter="precision")


def pictures() -> Iterator[Tensor]:
    """(1, 3, SIDE_PX, SIDE_PX) each, display values."""
    import ssl_restore_samples  # noqa: PLC0415  (data only; needed by this function alone)

    photographs = images.find(ssl_restore_samples.photographs())
    paths = [ssl_restore_samples.rainy_example(), *photographs[:: len(photographs) // 3][:3]]
    generator = torch.Generator().manual_seed(0)
    for path, sigma in zip([*paths, *paths[:2]], [*NOISE, *NOISE], strict=True):
        pixels = images.read(path).pixels
        top, left = ((side - SIDE_PX) // 2 for side in pixels.shape[:2])
        image = images.to_tensor(pixels[top : top + SIDE_PX, left : left + SIDE_PX])
        noise = sigma * torch.randn(image.shape, generator=generator)
        yield (image + noise).clamp(0, 1)
