"""Restorers of a task that follow each other, as a gating network tells for every picture.

    restored = g(f(I | thorough) | thorough),   f where thin rain is seen; in a hurry f alone there

The lower the odds of rain in the picture, the less thorough both are: the odds that light is rain,
8^(2 thorough - 1), fall by as much. Below thorough = 0 so much less of what was found is taken.

Thin streaks in sharp pictures and the rain of cameras, out of focus and compressed, are learned
better by two small networks than by one; and whether it rains at all is seen in the whole picture,
not in the receptive field of a pixel. The gate looks once at a picture, before its tiles. In a
hurry f is applied alone only where the gate is rather sure, as it leaves the rain of cameras.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ssl_restore.device import autocast
from ssl_restore.inference.tiles import to_multiple
from ssl_restore.inference.wrappers import Strength
from ssl_restore.io.picture import Pixels
from ssl_restore.networks.gate import Gate, looked_at
from ssl_restore.objectives.rendered_rain import ODDS
from ssl_restore.restorer import Restorer, Wrapped

USUAL = (0.5, 0.25)  # how thorough each is where the picture shows rain
AVERAGED = (0.5, 0.28)  # the same where positions are averaged, which errs less
HURRIED = -1.0  # log odds of the rain of cameras, below which the first alone may be applied
HURRIED_LOOK = 0.5  # share of the sides that the gate is then shown
CERTAIN = 0.7  # log odds of rain, below which they are less so, and then take a share alone
ODDS_RANGE = 2 * math.log(ODDS)  # of log odds, that `thorough` from 0 to 1 stands for

UNSEEN = "hardly any rain is seen in it, so little is taken; give `thorough` (say 0.5) to take more"


class InTurn(Restorer):
    """image (B, 3, H, W), sides multiples of `stride`, -> the same shape: what the second restorer
    makes of what the first has made of it; at smaller sizes the second alone."""

    def __init__(self, first: Restorer, second: Restorer) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.stride = max(first.stride, second.stride)
        self.reach = first.reach + second.reach
        self.task, self.symmetry = second.task, second.symmetry
        self.layer_names, self.coarse_from = second.layer_names, second.coarse_from

    @property
    def layers_reach(self) -> int:
        return self.first.layers_reach + self.second.layers_reach

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.second(self.first(image).to(image))
        return restored

    def layers(self, image: Tensor) -> dict[str, Tensor]:
        """Those of the second, of what the first left, but the rain of both."""
        one = self.first.layers(image)
        other = self.second.layers(one["clean"].to(image))
        return {**other, "rain": one["rain"] + other["rain"]}

    def at_smaller_sizes(self) -> Restorer:
        return self.second.at_smaller_sizes()


class Mixture(Wrapped):
    """image (B, 3, H, W), sides multiples of `stride`, -> the same shape, by the second expert;
    `suited` gives what restores a picture.

    Args:
        thin: For thin streaks in sharp pictures; what it leaves is restored by the other.
        camera: For the rain that cameras see.
        gate: Which of them suits a picture, and whether it shows what is to be removed.
        eye: Whose features the gate reads.
    """

    def __init__(self, thin: Restorer, camera: Restorer, gate: Gate, eye: Restorer) -> None:
        thin, camera = (one.told(usual) for one, usual in zip((thin, camera), USUAL, strict=True))
        camera.careful = 0.0  # it has learned what drops are at smaller sizes, too
        super().__init__(camera)
        self.thin, self.gate, self.eye = thin, gate, eye
        both = InTurn(thin, camera)
        self.stride, self.reach, self.layer_names = both.stride, both.reach, both.layer_names
        self.thorough: float | None = USUAL[1]
        self.usual = USUAL
        self.chooses, self.asked = True, False  # whether it was asked how thorough to be
        self.hurries = False  # whether the first may be applied alone

    @property
    def layers_reach(self) -> int:
        return self.thin.layers_reach + self.inner.layers_reach

    @torch.inference_mode()
    def look(self, windows: Tensor) -> tuple[float, float]:
        """Log odds of rain, and of the rain of cameras, in a picture of which these are windows."""
        whole = to_multiple(windows, self.eye.stride)
        eye: Any = self.eye  # a network that tells its features
        with autocast(whole.device):
            maps = eye.features(whole.contiguous(memory_format=torch.channels_last))
        rain, camera = self.gate(maps).tolist()
        return rain, camera

    def suited(self, windows: Tensor) -> Restorer:
        rain, camera = self.look(windows)
        if self.asked:
            return self._chosen(self.thin, self.inner, camera)
        less = min(0.0, rain - CERTAIN)
        thin, last = (
            one.told(max(0.0, usual + less / ODDS_RANGE))
            for one, usual in zip((self.thin, self.inner), self.usual, strict=True)
        )
        restorer = self._chosen(thin, last, camera)
        share = math.exp(min(0.0, less + self.usual[1] * ODDS_RANGE))
        if share == 1:
            return restorer
        careful = Strength(restorer, share)
        careful.note = UNSEEN
        return careful

    def _chosen(self, thin: Restorer, last: Restorer, camera: float) -> Restorer:
        if self.hurries and camera < HURRIED:
            return thin
        return last if camera >= 0 else InTurn(thin, last)

    def single(self, windows: Tensor) -> Restorer:
        """The expert that suits a picture best, to be learned on."""
        _, camera = self.look(windows)
        return (self.thin if camera < 0 else self.inner).told(USUAL[int(camera >= 0)])

    def told(self, thorough: float) -> Mixture:
        copied = self.of_both(lambda expert: expert.told(thorough))
        copied.thorough, copied.asked = thorough, True
        return copied

    def to_average(self) -> Mixture:
        copied = copy.copy(self)
        copied.usual = AVERAGED
        return copied

    def to_hurry(self) -> Mixture:
        copied = copy.copy(self)
        copied.hurries, copied.looks_at = True, HURRIED_LOOK
        return copied

    def of_both(self, change: Callable[[Restorer], Restorer]) -> Mixture:
        """The same of its experts changed."""
        copied = copy.copy(self)
        changed = {"thin": change(self.thin), "inner": change(self.inner)}
        copied._modules = {**self._modules, **changed}
        return copied

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.inner(image)
        return restored

    def layers(self, image: Tensor, **told: Any) -> Mapping[str, Tensor]:
        return self.inner.layers(image, **told)


def suited(restorer: Restorer, *pixels: Pixels) -> Restorer:
    """What restores a picture (H, W, 1 or 3), or a clip, of which these are frames."""
    return restorer.suited(_windows(restorer, *pixels)) if restorer.chooses else restorer


def single(restorer: Restorer, pixels: Pixels) -> Restorer:
    """The restorer, or of several the one that suits a picture (H, W, 1 or 3), to be learned on."""
    return (
        restorer.single(_windows(restorer, pixels)) if isinstance(restorer, Mixture) else restorer
    )


def _windows(restorer: Restorer, *pixels: Pixels) -> Tensor:
    windows = torch.cat([looked_at(one, restorer.looks_at) for one in pixels])
    return windows.to(next(restorer.parameters()).device)
