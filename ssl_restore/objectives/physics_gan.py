"""Physics GAN without pairs: maximum a posteriori, with a critic for the prior.

    x = f(y),     -log p(x | y) = -log p(y | x) - log p(x)  ~  d(y, H(x)) + w softplus(-D(x))

The critic D knows pictures without rain (any, of other scenes); H rains on x again. With pairs H
is given; here it must be guessed, and the obvious guesses fail:

- H adds fresh random rain (`LiteralPhysicsGan`): its median is zero where rain is sparse, so that
  the likelihood is best for x = y, rain and all.
- H adds back what was removed, R = y - x: d(y, x + R) is zero for every x.
- The pictures of the user alone, however H rains: nothing says what is background, and a loop that
  learns from itself drifts.

So in `PhysicsGan` H adds back of R what a rain could be (`streaks`: light, and even along lines
that fall), the layers R have a critic of their own that knows rendered rain, other rain on x must
be taken off again, and most of each batch is rendered rain on clean photographs.

References: Pan et al., "Physics-based generative adversarial models for image restoration and
beyond", TPAMI 2021, arXiv 1808.00605; the loss of the players: Goodfellow et al., NeurIPS 2014;
penalty of `adversarial`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from degradations.sampling import degrade
from degradations.types import Degradation, Range, uniform
from ssl_restore.networks.critic import Critic
from ssl_restore.objectives.adversarial import as_it_trains, both, contest, judged
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.rendered_rain import layer_loss, render_rain
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

LINE_PX = 11  # over which a streak must be even
STEEPEST_RAD = math.pi / 4  # from the vertical, to both sides
ANGLES = 11
FAINT: Range = (0.1, 1.0)  # share of the light of rendered rain


class PhysicsGan(nn.Module):
    """Terms of the restorer: `restore`, `veil`, `likelihood`, `prior`, `layer`.

    `restore` and `veil` are the way back from rain on known backgrounds, without its streaks and
    without its veil: clean photographs, and for a `share` of the batch what the averaged restorer
    makes of the rainy pictures. From scratch it makes nothing of them at first: the share grows
    from zero then. The other terms are about streaks: x is the rainy picture without them.
    """

    def __init__(
        self,
        restorer: Restorer,
        ema: Restorer,
        critic: Critic,
        layer_critic: Critic,
        rain: Degradation,
        *,
        share: float,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.ema = ema
        self.critic = critic
        self.layer_critic = layer_critic
        self.rain = rain
        self.share = share

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = both(batch)
        share = self.share * (1.0 if batch.warm else min(1.0, 2 * batch.progress))
        own = min(round(share * len(clean)), len(clean) - 1)  # never without the anchor
        background = clean
        if own > 0:
            with torch.no_grad():
                known = self.ema(degraded[:own]).clamp(0, 1)
            background = torch.cat([known, clean[own:]])
        rendered = render_rain(background, self.rain, generator).stored()
        pictures, count = torch.cat([degraded, rendered.rainy]), len(degraded)
        predicted = self.restorer.layers(pictures)
        restored = predicted["clean"][:count]
        layer = (degraded - restored).mean(dim=1, keepdim=True)
        of_rendered = {name: part[count:] for name, part in predicted.items()}
        return {
            **layer_loss(of_rendered, rendered),
            "likelihood": relative(charbonnier(degraded - (restored + streaks(layer)))),
            "prior": F.softplus(-judged(self.critic, restored)).mean(),
            "layer": F.softplus(-judged(self.layer_critic, layer)).mean(),
        }


class LiteralPhysicsGan(nn.Module):
    """Terms of the restorer: `likelihood`, mean |y - (x + random rain)|, and `prior`."""

    def __init__(self, restorer: Restorer, critic: Critic, rain: Degradation) -> None:
        super().__init__()
        self.restorer = restorer
        self.critic = critic
        self.rain = rain

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        _, degraded = both(batch)
        restored = self.restorer(degraded)
        again = degrade(restored, self.rain, generator)
        return {
            "likelihood": (degraded - again).abs().mean(),
            "prior": F.softplus(-judged(self.critic, restored)).mean(),
        }


class PictureCritic(nn.Module):
    """Terms of the critic: `critic`, 2 log 2 when it cannot tell, and `penalty`.

        E softplus(-D(clean)) + E softplus(D(f(y))),     E |grad D(clean)|^2

    The clean pictures are mirrored at random. Nothing of the restorer moves, statistics included.
    """

    def __init__(self, restorer: Restorer, critic: Critic) -> None:
        super().__init__()
        self.restorer = restorer
        self.critic = critic

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = both(batch)
        mirrored = torch.rand(len(clean), 1, 1, 1, generator=generator).to(clean.device) < 0.5
        real = torch.where(mirrored, clean.flip(3), clean)
        loss, penalty = contest(self.critic, real, as_it_trains(self.restorer, degraded))
        return {"critic": loss, "penalty": penalty}


class BothCritics(nn.Module):
    """Terms of both critics: `critic`, `layer_critic`, and their `penalty`, added up.

    That of pictures must also tell the clean photographs from themselves with faint rendered rain
    (a `FAINT` share of its light), in which they differ by nothing else: it learns sooner what to
    look for, and not what kind of scenes a folder holds. That of layers knows what rendered rain
    adds to the photographs (less where they are white) and judges what the restorer removes.
    """

    def __init__(
        self, restorer: Restorer, critic: Critic, layer_critic: Critic, rain: Degradation
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.critic = critic
        self.layer_critic = layer_critic
        self.rain = rain

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = both(batch)
        restored = as_it_trains(self.restorer, degraded)
        rendered = render_rain(clean, self.rain, generator)
        added = rendered.rainy.clamp(0, 1) - rendered.veiled.clamp(0, 1)
        faint = uniform(FAINT, (len(clean), 1, 1, 1), generator).to(clean.device) * added
        pictures, first = contest(self.critic, clean, torch.cat([restored, clean + faint]))
        layers, second = contest(
            self.layer_critic,
            added.mean(dim=1, keepdim=True),
            (degraded - restored).mean(dim=1, keepdim=True),
        )
        return {"critic": pictures, "layer_critic": layers, "penalty": first + second}


def streaks(layer: Tensor) -> Tensor:
    """The part of a layer (B, 1, H, W) that could be rain: [min(R, max_a mean_a(R))]_+.

    mean_a is the mean over a line of `LINE_PX` pixels at angle a from the vertical. A streak is
    even along itself and stays, ends and all where others join; dots, texture, flat lines and
    negative values go. Flat light stays: it is even in every direction.
    """
    lines = _lines(layer.device, layer.dtype)
    reach = LINE_PX // 2
    around = F.pad(layer, (reach, reach, reach, reach), mode="replicate")
    even = F.conv2d(around, lines).amax(dim=1, keepdim=True)
    return torch.minimum(layer, even).clamp_min(0)


@lru_cache(maxsize=4)
def _lines(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(ANGLES, 1, LINE_PX, LINE_PX), each of sum one: a row takes its share of two pixels."""
    reach = LINE_PX // 2
    angles = torch.linspace(-STEEPEST_RAD, STEEPEST_RAD, ANGLES, dtype=torch.float64)
    rows = torch.arange(-reach, reach + 1, dtype=torch.float64)
    length = torch.linspace(-reach, reach, 8 * LINE_PX, dtype=torch.float64)  # along the line
    y, x = length * angles.cos()[:, None], length * angles.sin()[:, None]

    def nearness(place: Tensor) -> Tensor:
        """(ANGLES, points, LINE_PX): linear weights of the two nearest pixels."""
        return (1 - (place[..., None] - rows).abs()).clamp_min(0)

    lines = torch.einsum("apy,apx->ayx", nearness(y), nearness(x))
    lines = lines / lines.sum(dim=(1, 2), keepdim=True)
    return lines[:, None].to(device=device, dtype=dtype)
