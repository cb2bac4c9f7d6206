"""Two pictures seen through each other, from one mixture of them or from two.

    I_k = w_k y1 + (1 - w_k) y2,     w_k a constant, y1 and y2 within 0 to 1

Of two mixtures, the start of the weights is read off the gradients. Those of natural pictures are
sparse: where y1 alone has an edge, the gradients of both mixtures are as w_1 to w_2, where y2 alone
has one, as 1 - w_1 to 1 - w_2. So they lie on two lines, and as the weights of a mixture add up to
one, both slopes tell both weights:

    r = w_2 / w_1,  s = (1 - w_2) / (1 - w_1):   w_1 = (s - 1) / (s - r),  w_2 = r w_1

Nothing stays open but the order. From one mixture much does: any part of a layer may belong to the
other one. Reference for the lines: Bofill and Zibulevsky, "Underdetermined blind source separation
using sparse representations", Signal Processing 2001.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.errors import UserError
from ssl_restore.objectives.exclusion import exclusion
from ssl_restore.solvers.coupled_layers import (
    Course,
    Drawing,
    Layers,
    consistent_layers,
    draw_layers,
    enlarged,
)

BINS = 720  # of the direction of a gradient, over a quarter turn
BROAD_BINS = 121  # width over which the count of gradients of both layers is smooth
STRONGEST = 0.1  # share of the gradients that are asked, ...
LEAST_GRADIENT = 0.02  # ... which eight bits must resolve
NEAR_RAD = math.radians(1)
TRUST = 1e-3  # in layers as drawn, where two mixtures tell them
WEIGHT_RANGE = (0.01, 0.99)
DIFFERENT = 1 / 255  # mean difference of two mixtures, at least
WEIGHTS = {"mixture": 1.0, "start": 1.0, "exclusion": 0.1, "weights": 0.1}


class Mixtures(Drawing):
    """Terms: `mixture`, mean |w_k y1 + (1 - w_k) y2 - I_k|^2 summed over k; `start`, while they are
    drawn alone mean |y - y0|^2 of both layers; `exclusion` of their edges; `weights`, |w - w0|^2.
    """

    def __init__(
        self, networks: list[nn.Module], images: list[Tensor], start: list[Tensor], weights: Tensor
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.images, self.start = images, start
        self.first_weights = weights
        self.logits = nn.Parameter(weights.logit())
        self.layers = dict(zip(("layer_1", "layer_2"), start, strict=True))

    def terms(self, drawn: list[Tensor], alone: bool) -> Layers:
        one, other = drawn
        weights = self.logits.sigmoid()
        errors = [
            (w * one + (1 - w) * other - image).square().mean()
            for w, image in zip(weights, self.images, strict=True)
        ]
        self.layers = {"layer_1": one.detach(), "layer_2": other.detach()}
        starts = [(y - y0).square().mean() for y, y0 in zip(drawn, self.start, strict=True)]
        together = 0.0 if alone else 1.0
        return {
            "mixture": together * torch.stack(errors).sum(),
            "start": (1 - together) * torch.stack(starts).sum(),
            "exclusion": together * exclusion(one, other),
            "weights": (weights - self.first_weights).square().sum(),
        }


def separate(image: Tensor, second: Tensor | None, course: Course) -> Layers:
    """{"layer_1", "layer_2", "weight_1"} of a mixture (1, 3, H, W), and "weight_2" of a second."""
    images = [image] if second is None else [image, second]
    small = [course.smaller(one) for one in images]
    if second is None:
        course.notify("one mixture does not tell its layers: look at them, or give a second one")
        weights, start = torch.tensor([0.5]), [small[0], small[0]]
    else:
        weights = weights_of_gradients(small[0], small[1], course.notify)
        start = list(unmixed(small, list(weights)))
    targets = [course.reduced(one) for one in small]
    start = [course.reduced(one.clamp(0, 1)) for one in start]
    networks: list[nn.Module] = [course.network(3, image.device) for _ in range(2)]
    drawing = Mixtures(networks, targets, start, weights.to(image))
    drawn = draw_layers(drawing, WEIGHTS, targets[0], small[0].shape, course)
    weights = drawing.logits.detach().sigmoid()
    layers = enlarged(drawn["layer_1"], image.shape), enlarged(drawn["layer_2"], image.shape)
    one, other = consistent_layers(images, list(weights), layers, TRUST)
    maps = {
        f"weight_{number}": weight.expand(1, 1, *image.shape[2:]).clone()
        for number, weight in enumerate(weights, start=1)
    }
    return {"layer_1": one, "layer_2": other, **maps}


def unmixed(images: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Both layers of two mixtures with these weights."""
    grey = torch.full_like(images[0], 0.5)
    return consistent_layers(images, weights, (grey, grey), TRUST)


def weights_of_gradients(image: Tensor, second: Tensor, notify: Callable[[str], None]) -> Tensor:
    """(2,) weights of the first layer, by the two lines on which the gradients of both lie.

    UserError for mixtures that are the same.
    """
    if float((image - second).abs().mean()) < DIFFERENT:
        raise UserError("both mixtures are the same; give two with different weights")
    angle, length = _directions(image, second)
    lines = _two_lines(angle, length)
    if lines is None:
        notify("the gradients of both mixtures do not tell the weights; they are a guess")
        return torch.tensor([0.6, 0.4])
    r, s = (math.tan(line) for line in lines)
    first = (s - 1) / (s - r)
    return torch.tensor([first, r * first]).clamp(*WEIGHT_RANGE)


def _directions(image: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Angle in (0, pi / 2) of the gradient of the second over that of the first, and its length.

    Of the strongest, and of means over 2 x 2 pixels: steps of eight bits have few directions.
    """
    means = [F.avg_pool2d(one, 2, stride=1) for one in (image, second)]
    pairs = torch.cat([torch.stack([m.diff(dim=d).flatten() for m in means]) for d in (2, 3)], 1)
    x, y = pairs.double().cpu()
    length = (x.square() + y.square()).sqrt()
    asked = max(1, round((1 - STRONGEST) * len(length)))
    strong = max(LEAST_GRADIENT, float(length.kthvalue(asked).values))
    telling = (length >= strong) & (x * y > 0)
    return torch.atan2(y.abs(), x.abs())[telling], length[telling]


def _two_lines(angle: Tensor, length: Tensor) -> tuple[float, float] | None:
    """The directions below and above 45 degrees that stand out most, in radians.

    None where there are none: the weights of a mixture add up to one, so both sides have a line.
    """
    bins = (angle / (math.pi / 2) * BINS).long().clamp(0, BINS - 1)
    count = torch.zeros(BINS, dtype=torch.double).index_add_(0, bins, length)[None]
    near = F.avg_pool1d(count, 5, stride=1, padding=2)[0]
    broad = F.avg_pool1d(F.pad(count, (BROAD_BINS // 2,) * 2, mode="reflect"), BROAD_BINS, 1)[0]
    above, half = near - broad, BINS // 2
    found = []
    for start in (0, half):
        part = above[start : start + half]
        if float(part.max()) <= 0:
            return None
        line = (start + int(part.argmax()) + 0.5) / BINS * math.pi / 2
        for _ in range(8):
            close = (angle - line).abs() < NEAR_RAD
            line = _weighted_median(angle[close], length[close])
        found.append(line)
    return (found[0], found[1]) if found[1] - found[0] > 2 * NEAR_RAD else None


def _weighted_median(values: Tensor, weights: Tensor) -> float:
    order = values.argsort()
    total = weights[order].cumsum(0)
    return float(values[order][int((total < total[-1] / 2).sum())])
