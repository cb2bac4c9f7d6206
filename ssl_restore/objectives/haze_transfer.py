"""Haze like that of the user's pictures on clear ones, and their own haze made thicker and thinner.

    (J', tau', A') = average(I),     I2 = J' t2 + A' (1 - t2),     t2 = exp(-k tau')
    loss = that of `synthetic_haze` + relative(charbonnier(f(I2) - J')) + |grad tau| exp(-|grad I|)

Part of the clear photographs get haze of the thickness and colour that was measured in the user's
pictures, the rest any. A picture of the user with another share k of its own haze must come back to
the same J': it is of the scenes, the camera and the air that shall be restored, and says nothing on
what k = 0 looks like, which the photographs know. Distances change where the picture has edges:
elsewhere a change of tau costs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degradations.haze_like import MeasuredHaze
from degradations.sensor import quantise
from degradations.types import Range, uniform
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.dehazer import Dehazer
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.picture_contrast import Judged, picture_contrast
from ssl_restore.objectives.synthetic_haze import Hazy, Shares, haze_loss, hazed
from ssl_restore.types import Batch

EDGE = 0.05  # difference of neighbours from which a picture has an edge, display units
THICKER: Range = (0.4, 1.8)  # k


class HazeTransfer(nn.Module):
    """Terms: `restore`, `transmission`, `airlight` of `SyntheticHaze`, `rehaze` and `smooth`; with
    a critic `contrast` of what was restored of the clear photographs.

    Args:
        restorer: What learns.
        ema: Its average, which sees the haze of the user's pictures.
        rows: The haze of these pictures, as measured; none: haze of all kinds.
        like: Share of the clear photographs that get haze like it.
        shares: As of `SyntheticHaze`.
        judged: A critic, and a kind of `picture_contrast`.
    """

    def __init__(
        self,
        restorer: Dehazer,
        ema: Dehazer,
        rows: tuple[MeasuredHaze, ...],
        like: float,
        shares: Shares,
        judged: Judged | None = None,
    ) -> None:
        super().__init__()
        self.critic: Critic | None
        self.critic, self.kind = judged or (None, "")
        self.restorer = restorer
        self.ema = ema
        self.rows = rows
        self.like = like
        self.shares = shares

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        hazy = batch if isinstance(batch, Hazy) else self.prepare(batch, generator)
        assert batch.degraded is not None
        degraded = batch.degraded
        with torch.no_grad():
            found = self.ema.layers(degraded, self.ema.all_haze(degraded))
            restored, depth = found["clean"].clamp(0, 1), -found["transmission"].log()
            factor = uniform(THICKER, (len(degraded), 1, 1, 1), generator).to(degraded)
            t = (-factor * depth).exp()
            again = quantise(restored * t + found["airlight"] * (1 - t))
        tau, _ = self.restorer.haze(degraded)
        terms, clear = haze_loss(self.restorer, hazy)
        if self.critic is not None:
            terms["contrast"] = picture_contrast(
                self.kind, self.critic, clear, hazy.target, hazy.hazy, generator
            )
        return {
            **terms,
            "rehaze": relative(charbonnier(self.restorer.layers(again)["clean"] - restored)),
            "smooth": roughness(tau, degraded),
        }

    def prepare(self, batch: Batch, generator: torch.Generator) -> Hazy:
        """The batch with haze on its clean pictures."""
        assert batch.clean is not None
        count = len(batch.clean)
        chosen = torch.rand(count, generator=generator) < self.like
        drawn = torch.randint(max(1, len(self.rows)), (count,), generator=generator).tolist()
        like = [like and bool(self.rows) for like in chosen.tolist()]
        known = [self.rows[row] if like[number] else None for number, row in enumerate(drawn)]
        return hazed(batch.clean, self.shares, generator, known).of(batch)


def roughness(tau: Tensor, picture: Tensor) -> Tensor:
    """mean |grad tau| exp(-|grad I| / EDGE) over both directions, scalar."""
    total = tau.new_zeros(())
    for dimension in (-2, -1):
        edge = picture.diff(dim=dimension).abs().mean(dim=1, keepdim=True)
        total = total + (tau.diff(dim=dimension).abs() * (-edge / EDGE).exp()).mean()
    return total
