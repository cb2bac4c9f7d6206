"""What a camera that does not move teaches: a frame, what was behind its rain, and the rain itself.

    known       d(restorer(I), B) over the pixels whose background B is known
    moved       d(restorer(J + g R), J),      R = [I - B]_+ of other patches, J a clean photograph

The first learns this scene, its camera and compression. The second keeps to rain: without it, what
stands in front of the camera is learned by heart, and a thing that comes in is taken for rain. A
share of the photographs has rendered rain instead, so that other rain is not forgotten, or none.
Reference: Wang et al., "Spatial attentive single-image deraining with a high quality real rain
dataset", CVPR 2019 (backgrounds by medians in time).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degradations.sampling import degrade
from degradations.sensor import quantise
from degradations.types import Degradation, Range, uniform
from ssl_restore.objectives import scenes
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

FAINTEST = 3 / 255  # what is weaker is noise and compression more often than rain


class FixedCamera(nn.Module):
    """Terms: `known`, `moved`.  The first half of a batch are frames, the other photographs.

    Args:
        restorer: What learns.
        rain: Rendered on a share of the photographs.
        rendered: That share.
        gain: Range of g.
        jpeg: Share of the photographs stored as JPEG with their rain.
    """

    def __init__(
        self,
        restorer: Restorer,
        rain: Degradation,
        *,
        rendered: float,
        gain: Range,
        jpeg: float,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.rain = rain
        self.rendered = rendered
        self.gain = gain
        self.jpeg = jpeg

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.clean is not None
        assert batch.places is not None
        half = max(1, batch.size // 2)
        frame, background, known = batch.places.unbind(1)
        photographs = batch.clean[half:] if batch.size > 1 else batch.clean
        rainy, clean = self.moved(photographs, moved_layer(frame, background, known), generator)
        restored = self.restorer(torch.cat([frame[:half], rainy]))
        error = (restored[:half] - background[:half]) * known[:half]
        share = known[:half].mean(dim=(1, 2, 3)).clamp_min(0.05)
        return {
            "known": relative(charbonnier(error) / share),
            "moved": relative(charbonnier(restored[half:] - clean)),
        }

    def moved(
        self, clean: Tensor, layers: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Photographs with layers of other patches, or with rendered rain; and without."""
        count = len(clean)
        layer = layers[torch.randperm(len(layers), generator=generator)[:count]]
        mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        layer = torch.where(mirrored.to(layer.device), layer.flip(3), layer)
        gain = uniform(self.gain, (count, 1, 1, 1), generator).to(layer.device)
        rendered = degrade(clean, self.rain, generator)
        instead = torch.rand(count, 1, 1, 1, generator=generator) < self.rendered
        rainy = torch.where(instead.to(layer.device), rendered, clean + gain * layer)
        stored = scenes.stored((quantise(rainy), clean), self.jpeg, generator)
        return stored[0], stored[1]


def moved_layer(frame: Tensor, background: Tensor, known: Tensor) -> Tensor:
    """R = [I - B]_+ where it is known and above the noise, (B, 3, H, W).

    Brightness decides for all colours: compression has left those coarser than light.
    """
    layer = (frame - background) * known
    light = layer.mean(dim=1, keepdim=True)
    return torch.where(light > FAINTEST, layer, torch.zeros_like(layer))
