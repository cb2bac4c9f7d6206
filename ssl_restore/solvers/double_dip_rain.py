"""Rain as two layers: the scene, and streaks whose light lies on it.

    I = J + R

The start of R is the part of what an opening takes that could be streaks: even along a line that is
nearly upright. That is what is known of rain here, and it stays a term of the loss while the layers
are drawn together. A streak at the finest scale is drawn at the full size only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.objectives.exclusion import exclusion
from ssl_restore.objectives.opening import opening
from ssl_restore.objectives.physics_gan import streaks
from ssl_restore.solvers.coupled_layers import Course, Drawing, Layers, draw_layers, enlarged

WEIGHTS = {"mixture": 1.0, "start": 1.0, "exclusion": 0.1, "prior": 0.1}
LATER = 0.1  # of the weight of the start of R while the layers are drawn together


class RainyPicture(Drawing):
    """Terms: `mixture`, mean |J + R - I|^2; `start`, mean |R - R0|^2, and at first |J - I + R0|^2;
    `exclusion` of the edges of J and R; `prior`, mean |R - streaks(R)|."""

    def __init__(self, networks: list[nn.Module], image: Tensor, start: Tensor) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.image, self.start = image, start
        self.layers = {"clean": image - start, "rain": start}

    def terms(self, drawn: list[Tensor], alone: bool) -> Layers:
        clean, rain = drawn
        self.layers = {"clean": clean.detach(), "rain": rain.detach()}
        together = 0.0 if alone else 1.0
        start = (rain - self.start).square().mean()
        behind = (clean - (self.image - self.start)).square().mean()
        return {
            "mixture": together * (clean + rain - self.image).square().mean(),
            "start": start + behind if alone else LATER * start,
            "exclusion": together * exclusion(clean, rain),
            "prior": together * (rain - streaks(rain)).abs().mean(),
        }


def separate(image: Tensor, course: Course) -> Layers:
    """{"clean", "rain"} of an image (1, 3, H, W)."""
    target = course.reduced(image)
    networks: list[nn.Module] = [course.network(channels, image.device) for channels in (3, 1)]
    drawing = RainyPicture(networks, target, start_of(target))
    drawn = draw_layers(drawing, WEIGHTS, target, course.smaller(image).shape, course)
    rain = torch.minimum(enlarged(drawn["rain"], image.shape), image.amin(dim=1, keepdim=True))
    return {"clean": image - rain, "rain": rain}


def start_of(image: Tensor) -> Tensor:
    """(1, 1, H, W): light of what could be streaks, by an opening."""
    return streaks((image - opening(image)).mean(dim=1, keepdim=True))
