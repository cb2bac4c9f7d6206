"""The rain of one picture moved onto another.

    R = [I - average(I)]_+ of a rainy picture,     J + g * R on a clean one,   loss: back to J

The layer is what the averaged restorer removes, so it has the shape of this folder's streaks. A
restorer sees less than there is, hence the gain g >= 1. On its own such a loop drifts (below its
input, where it was tried), so that physics rain on clean photographs is part of every batch: rain
like that of the pictures, and for those in which none could be measured all that the built-in
restorer has learned from, which would be forgotten within minutes. A patch in which the average
finds nothing gets physics rain, too: else a restorer that removes nothing is taught by empty layers
to remove nothing. From scratch, half of the layers are at first those of a morphological opening,
which are coarse but not empty.

After a warm start, what gets rain of all kinds are the user's own pictures, restored by the start
(`own_scenes`), and no photographs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from degradations.types import Degradation, Range, uniform
from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.opening import opening
from ssl_restore.objectives.own_scenes import OwnScenes
from ssl_restore.objectives.picture_contrast import Judged, picture_contrast
from ssl_restore.objectives.rendered_rain import (
    RenderedRain,
    joined,
    layer_loss,
    predicted_layers,
    render_rain,
)
from ssl_restore.objectives.synthetic_rain import SyntheticRain
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

EMPTY = 1e-3  # mean light of a layer, display units, below which it is taken for none


class RainTransfer(nn.Module):
    """Terms: `restore`, `veil`.  The first `share` of a batch gets transferred rain, the rest
    physics.

    In a run from scratch `coarse` of the layers come from the opening, linearly less and none after
    half of the run. The last `wide_share` of a batch is rendered by `wide`, where it is given, and
    of that the last `own_share` by `own`, after a warm start. With a critic and a kind of
    `picture_contrast` (`judged`) there is a term `contrast`.
    """

    def __init__(
        self,
        restorer: Restorer,
        ema: Restorer,
        prior: Degradation,
        *,
        share: float,
        gain: Range,
        threshold: float,
        coarse: float,
        wide: SyntheticRain | None = None,
        wide_share: float = 0.0,
        judged: Judged | None = None,
        own: OwnScenes | None = None,
        own_share: float = 0.0,
    ) -> None:
        super().__init__()
        self.own = own
        self.own_share = own_share
        self.critic: Critic | None
        self.critic, self.kind = judged or (None, "")
        self.wide = wide
        self.wide_share = wide_share
        self.restorer = restorer
        self.ema = ema
        self.prior = prior
        self.share = share
        self.gain = gain
        self.threshold = threshold
        self.coarse = coarse

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = batch.clean, batch.degraded
        assert clean is not None
        assert degraded is not None
        count = min(round(self.share * len(clean)), len(clean) - 1)  # never without the anchor
        rendered = batch if isinstance(batch, RenderedRain) else self.prepare(batch, generator)
        if count > 0:
            gain = uniform(self.gain, (count, 1, 1, 1), generator).to(clean.device)
            layer = rain_layer(self.ema, degraded[:count], self.threshold)
            chance = 0.0 if batch.warm else self.coarse * (1 - 2 * batch.progress)
            coarse = torch.rand(count, generator=generator) < chance
            layer[coarse] = rain_layer(opening, degraded[:count][coarse], self.threshold)
            has_rain = layer.mean(dim=(1, 2, 3), keepdim=True) > EMPTY
            has_rain = torch.cat([has_rain, has_rain.new_zeros(len(clean) - count, 1, 1, 1)])
            moved = torch.cat([clean[:count] + gain * layer, clean[count:]])
            rendered = replace(
                rendered,
                rainy=torch.where(has_rain, moved, rendered.rainy),
                veiled=torch.where(has_rain, clean, rendered.veiled),
                transmission=torch.where(has_rain, 1, rendered.transmission),
                light=torch.where(has_rain, 0, rendered.light),
            )
        rendered = rendered.stored()
        predicted, thorough = predicted_layers(self.restorer, rendered, generator)
        terms = layer_loss(predicted, rendered, thorough)
        if self.critic is not None:
            terms["contrast"] = picture_contrast(
                self.kind, self.critic, predicted["clean"], rendered.veiled, rendered.rainy,
                generator,
            )  # fmt: skip
        return terms

    def prepare(self, batch: Batch, generator: torch.Generator) -> RenderedRain:
        """The batch with physics rain on its clean pictures."""
        assert batch.clean is not None
        count = round(self.wide_share * len(batch.clean))
        if self.wide is None or not count:
            return render_rain(batch.clean, self.prior, generator).of(batch)
        like, other = batch.clean[:-count], batch.clean[-count:]
        parts = [render_rain(like, self.prior, generator).stored()] if len(like) else []
        own = round(self.own_share * count) if self.own is not None and batch.warm else 0
        if count > own:
            parts.append(self.wide.render(other[: count - own], generator))
        if self.own is not None and own:
            assert batch.degraded is not None
            parts.append(self.own.render(self.own.pseudo_clean(batch.degraded[-own:]), generator))
        return functools.reduce(joined, parts).of(batch)


@torch.no_grad()
def rain_layer(restore: Callable[[Tensor], Tensor], degraded: Tensor, threshold: float) -> Tensor:
    """What `restore` removes, achromatic and non-negative: (B, 3, H, W) -> (B, 1, H, W).

    Values below `threshold` (display units) are set to zero: they are texture and noise more
    often than rain.
    """
    removed = (degraded - restore(degraded)).mean(dim=1, keepdim=True)
    return torch.where(removed > threshold, removed, torch.zeros_like(removed))
