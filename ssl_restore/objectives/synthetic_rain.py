"""Supervision made by physics: rain rendered on clean photographs, and the way back.

J = sensor(gain * pattern(photograph)),   I = rain on J, maybe behind a veil,   V without streaks
loss = that of `rendered_rain`

The rain is any degradation: an empirical prior, one of weather and cameras, or a chain. I and V are
stored alike: noise and JPEG of some are in both, and are not to be removed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from degradations.noise import Noise
from degradations.sampling import degrade, degrade_share
from degradations.sensor import Sensor, quantise
from degradations.types import Degradation
from degradations.veil import Veil
from ssl_restore.objectives import scenes
from ssl_restore.objectives.patterns import foliage, patterned
from ssl_restore.objectives.rendered_rain import (
    RenderedRain,
    behind_veil,
    layer_loss,
    predicted_layers,
    render_rain,
)
from ssl_restore.objectives.stored_pairs import StoredPairs, among
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

FAINT = {"eps": 0.005, "floor": 0.01}  # faint rain counts, and what is changed where none is


@dataclass(frozen=True)
class Shares:
    """Shares of the pictures with more than rain in them."""

    patterns: float = 0.0  # regular ones, which are not rain
    foliage: float = 0.0  # leaves and twigs before a bright sky, which is not, either
    veil: float = 0.0  # of those with rain: a photograph without is to keep its own haze
    noise: float = 0.0
    jpeg: float = 0.0
    defocus: float = 0.0  # scenes out of focus, `mist` and `blocky` ones (`scenes.py`)
    mist: float = 0.0
    blocky: float = 0.0
    resampled: float = 0.0  # sharpened or enlarged, after the rain
    pairs: float = 0.0  # taken from stored pairs, where there are any


WIDE = Shares(  # what the built-in restorer has learned from
    patterns=0.06, foliage=0.1, veil=0.15, noise=0.25, jpeg=0.75, defocus=0.45, mist=0.15,
    blocky=0.2, resampled=0.5, pairs=0.4,
)  # fmt: skip


EXPOSURE = Sensor(gain=(0.5, 1.2))
COARSE_FROM = 500  # of restorers that have: they find wide streaks at smaller sizes


class SyntheticRain(nn.Module):
    """Terms: `restore`, `veil`.  Needs clean patches only; `exposure` makes dim and bright ones.

    Args:
        restorer: What learns; its layers are `clean`, `optical_depth` and `airlight` at least.
        rain: Any degradation, such as `Rain()`, `Rainfall()` or `Chain((Haze(), Rain()))`.
        exposure: Of the photographs, before the rain.
        shares: Of pictures with more than rain in them.
        pairs: Taken in place of a share of the rendered ones.
    """

    def __init__(
        self,
        restorer: Restorer,
        rain: Degradation,
        exposure: Sensor,
        shares: Shares = Shares(),
        pairs: StoredPairs | None = None,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.rain = rain
        self.exposure = exposure
        self.shares = shares
        self.pairs = pairs

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        rendered = batch if isinstance(batch, RenderedRain) else self.prepare(batch, generator)
        predicted, thorough = predicted_layers(self.restorer, rendered, generator)
        return layer_loss(predicted, rendered, thorough, **FAINT)

    def prepare(self, batch: Batch, generator: torch.Generator) -> RenderedRain:
        """The batch with rain on its clean pictures."""
        assert batch.clean is not None
        return self.render(batch.clean, generator).of(batch)

    def render(self, photographs: Tensor, generator: torch.Generator) -> RenderedRain:
        """Rainy pictures and their truths, of photographs (B, 3, H, W)."""
        shares = self.shares
        clean = patterned(photographs, shares.patterns, generator)
        clean = foliage(clean, shares.foliage, generator)
        clean = scenes.out_of_focus(clean, shares.defocus, generator)
        clean = scenes.in_mist(clean, shares.mist, generator)
        clean = degrade(clean, self.exposure, generator)
        clean = quantise(degrade_share(shares.noise, clean, Noise(sigma=(0.0, 0.04)), generator))
        clean = scenes.blocky(clean, shares.blocky, generator)
        rendered = render_rain(clean, self.rain, generator)
        rainy = (rendered.rainy != clean).flatten(1).any(dim=1).cpu()
        # All white is white behind a veil, too.
        not_white = rendered.rainy.flatten(1).mean(dim=1).cpu() < 1
        chosen = rainy & not_white & (torch.rand(len(clean), generator=generator) < shares.veil)
        rendered = behind_veil(rendered, chosen, Veil(), generator)
        both = rendered.rainy, rendered.veiled
        rainy, veiled = scenes.resampled(both, shares.resampled, generator)
        rendered = replace(rendered, rainy=rainy, veiled=veiled).stored()
        both = rendered.rainy, rendered.veiled
        rainy, veiled = scenes.stored(both, shares.jpeg, generator)
        rendered = replace(rendered, rainy=rainy, veiled=veiled)
        if self.pairs is None:
            return rendered
        return among(rendered, self.pairs, shares.pairs, generator)
