"""Double-DIP: networks that each draw a layer of a picture, and layers that add up to it.

    I = m y1 + (1 - m) y2

A layer of natural pictures is simpler than their mixture, and a network that has seen nothing draws
the simpler one first (`deep_image_prior`). Networks for y1, y2 and m are fitted together:

    |m y1 + (1 - m) y2 - I|^2 + exclusion of the edges of y1 and y2 + what is known of m

`haze`: m is the transmission, y2 the airlight, and y1 the clean picture. `layers`: two pictures
seen through each other, m a constant; given a second mixture of them, both are told but for their
order. `segmentation`: m shows figure or ground. Each has a start, which the layers follow one by
one before they are drawn together (double_dip_haze.py, double_dip_mixtures.py,
double_dip_segmentation.py). The networks draw at `side` pixels at most; the finest detail is
that of the picture. Reference: Gandelsman, Shocher and Irani, "Double-DIP: unsupervised image
decomposition via coupled deep-image-priors", CVPR 2019 (smaller networks and other starts here).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_restore.errors import UnknownName, UserError
from ssl_restore.solvers import double_dip_haze, double_dip_mixtures, double_dip_segmentation
from ssl_restore.solvers.coupled_layers import Course

TASKS = ("dehaze",)
NAMES = {
    "haze": ("clean", "transmission", "airlight"),
    "layers": ("layer_1", "layer_2", "weight_1"),
    "segmentation": ("figure", "ground", "mask"),
}


def layer_names(use: str, *, two: bool = False) -> tuple[str, ...]:
    """Of what `solve` gives for a use; `two` for two mixtures."""
    if use not in NAMES:
        raise UnknownName("use", use, NAMES)
    return (*NAMES[use], "weight_2") if two else NAMES[use]


def solve(
    image: Tensor,
    *,
    generator: torch.Generator,
    use: str = "haze",
    second: Tensor | None = None,
    hints: Tensor | None = None,
    steps: int = 200,
    seconds: float | None = None,
    side: int = 256,
    width: int = 32,
    lr: float = 0.01,
    shake: float = 1 / 30,
    memory: int = 50,
    patience: int = 100,
    precision: str = "auto",
    progress: Callable[[float], None] = lambda share: None,
    notify: Callable[[str], None] = lambda line: None,
    show: Callable[[dict[str, Tensor]], None] = lambda layers: None,
) -> dict[str, Tensor]:
    """The layers of an image (1, 3, H, W), as `use` says: {"clean", "transmission", "airlight"} for
    `haze`; {"layer_1", "layer_2", "weight_1"} for `layers`, and "weight_2", that of the first layer
    in the `second` mixture (1, 3, H, W); {"figure", "ground", "mask"} for `segmentation`, with
    `hints` (1, 1, H, W) of 1 for figure, 0 for ground and 0.5 elsewhere.  Settings: `steps` at
    most, longest `side` in pixels at which is drawn, `width` of the networks, `lr`, deviation of
    the noise on their codes (`shake`), steps that the averages of the outputs reach back
    (`memory`), and `patience` steps after their least variance.  `show` is called with the layers
    as drawn, every ten seconds.
    """
    layer_names(use)
    if second is not None and use != "layers":
        raise UserError(f"{use} takes one picture; leave it out", parameter="second")
    if hints is not None and use != "segmentation":
        raise UserError(f"{use} takes none; leave them out", parameter="hints")
    for name, other in (("second", second), ("hints", hints)):
        if other is not None and other.shape[2:] != image.shape[2:]:
            raise UserError(
                f"{tuple(image.shape[2:])} is expected, got {tuple(other.shape[2:])}; give one of "
                "the size of the image", parameter=name,
            )  # fmt: skip
    course = Course(
        generator, steps, seconds, side, width, lr, shake, memory, patience, precision, progress,
        notify, show,
    )  # fmt: skip
    if use == "layers":
        return double_dip_mixtures.separate(image, second, course)
    if use == "segmentation":
        return double_dip_segmentation.separate(image, hints, course)
    return double_dip_haze.separate(image, course)
