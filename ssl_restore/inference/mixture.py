"""Several restorers of a task, of which a gating network chooses one for every picture.

    restored = f_k(I | thorough),   k the expert that I suits,   thorough less where nothing is seen

Thin streaks in sharp pictures and the rain of cameras, out of focus and compressed, are learned
better by two small networks than by one; and whether it rains at all is seen in the whole picture,
not in the receptive field of a pixel. The gate looks once at a picture, before its tiles.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ssl_restore.device import autocast
from ssl_restore.inference.tiles import to_multiple
from ssl_restore.io.picture import Pixels
from ssl_restore.networks.gate import Gate, looked_at
from ssl_restore.objectives.rendered_rain import ODDS
from ssl_restore.restorer import Restorer, Wrapped

USUAL = (0.5, 0.3)  # how thorough each expert is where the picture shows rain
CERTAIN = 0.0  # log odds of rain, below which it is less so


class Mixture(Wrapped):
    """image (B, 3, H, W), sides multiples of `stride`, -> the same shape, by the last expert, which
    is for what cameras see; `suited` gives the one for a picture.

    Args:
        experts: Restorers of one task, for thin rain and for that of cameras.
        gate: Which of them suits a picture, and whether it shows what is to be removed.
        eye: Whose features the gate reads.
    """

    def __init__(self, experts: Sequence[Restorer], gate: Gate, eye: Restorer) -> None:
        super().__init__(experts[-1])
        self.inner.careful = 0.0  # it has learned what drops are at smaller sizes, too
        self.others = nn.ModuleList(experts[:-1])
        self.gate, self.eye = gate, eye
        self.stride = max(expert.stride for expert in experts)
        self.reach = max(expert.reach for expert in experts)
        self.layer_names = self.inner.layer_names
        self.thorough: float | None = USUAL[-1]
        self.chooses, self.asked = True, False  # whether it was asked how thorough to be

    @property
    def layers_reach(self) -> int:
        return max(expert.layers_reach for expert in self.experts)

    @property
    def experts(self) -> list[Restorer]:
        return [*self.others, self.inner]

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
        which = int(camera >= 0)
        expert = self.experts[which]
        if self.asked or expert.thorough is None:
            return expert
        # Odds of rain that are lower by so much, as `thorough` shifts them: ODDS^(2 thorough - 1).
        less = min(0.0, rain - CERTAIN) / (2 * math.log(ODDS))
        return expert.told(max(0.0, USUAL[which] + less))

    def told(self, thorough: float) -> Mixture:
        copied = self.of_each(lambda expert: expert.told(thorough))
        copied.thorough, copied.asked = thorough, True
        return copied

    def of_each(self, change: Callable[[Restorer], Restorer]) -> Mixture:
        """The same of its experts changed."""
        *others, last = map(change, self.experts)
        copied = copy.copy(self)
        copied._modules = {**self._modules, "others": nn.ModuleList(others), "inner": last}
        return copied

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.inner(image)
        return restored

    def layers(self, image: Tensor, **told: Any) -> Mapping[str, Tensor]:
        return self.inner.layers(image, **told)


def suited(restorer: Restorer, pixels: Pixels) -> Restorer:
    """The restorer for a picture (H, W, 1 or 3)."""
    if not restorer.chooses:
        return restorer
    return restorer.suited(looked_at(pixels).to(next(restorer.parameters()).device))
