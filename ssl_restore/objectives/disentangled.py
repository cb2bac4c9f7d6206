"""Content and blur apart, learned from blurred and sharp pictures of other scenes.

    x blurred, y sharp,     G(x) deblurred,     z = m(x) + s(x) e,  e ~ N(0, 1),     F(y, z) blurred
    c(F(G(x), z) - x) + c(G(F(y, z)) - y),     KL(N(m, s^2) | N(0, 1)),     d(G(x), x),
    softplus(-D(G(x))) + softplus(-E(F(y, z))),     c(G(y) - y)

G is the content encoder of blurred pictures and the deblurring decoder, F the blurring decoder with
the code z of the blur, and what it takes of the content (`networks/blurrer.py`). Whatever z tells
costs divergence, so it tells of x what G(x) does not: the blur. d compares the deblurred picture
with the blurred one in features of a network at rest, D and E are critics of sharp and of blurred
pictures.

It differs from the publication in three ways. The deblurring decoder takes no code. Decoders add to
the picture, so that untrained they leave it as it is: hence c, Charbonnier's distance, as the
absolute one holds two networks that undo each other where they are. And sharp pictures have to
stay as they are. Where F cannot lose content, it is not taught by the way back to sharp pictures,
which is shortest from pictures that are not blurred.

Reference: Lu, Chen and Chellappa, "Unsupervised domain-specific deblurring via disentangled
representations", CVPR 2019, arXiv 1903.01594.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.networks.blurrer import BlurEncoder, CameraBlurrer, NetworkBlurrer
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.features import Features
from ssl_restore.objectives.adversarial import as_it_trains, both
from ssl_restore.objectives.cycle import contests, prior
from ssl_restore.objectives.distance import charbonnier
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, s^2), N(0, 1)) = sum over the code of (m^2 + s^2 - 1 - log s^2) / 2, mean over the
    batch; mean and log variance (B, CODE) -> scalar."""
    terms = mean.square() + log_variance.expm1() - log_variance
    return terms.sum(dim=1).mean() / 2


def sampled(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """m + s e of a mean and a log variance (B, CODE), with a gradient for both."""
    return mean + (log_variance / 2).exp() * normal(mean, generator)


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers of the shape of a tensor."""
    return torch.randn(like.shape, generator=generator).to(like)


class Disentangled(nn.Module):
    """Terms of the generators: `cycle`, `kl`, `features`, `prior` (of both critics), `identity`.

    A blurrer that takes noise gets it for F(y, z), not for the way back to x.
    """

    def __init__(
        self,
        restorer: Restorer,
        blurrer: CameraBlurrer | NetworkBlurrer,
        blur_encoder: BlurEncoder,
        critics: tuple[Critic, Critic],
        features: Features,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.blurrer = blurrer
        self.blur_encoder = blur_encoder
        self.clean_critic, self.degraded_critic = critics
        self.features = features

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = both(batch)
        mean, log_variance = self.blur_encoder(degraded)
        code = sampled(mean, log_variance, generator)
        again = self.blurrer(clean, code, normal(clean, generator))
        shown = again.detach() if self.blurrer.keeps_content else again
        restored, back_clean, kept = self.restorer(torch.cat([degraded, shown, clean])).chunk(3)
        back_degraded = self.blurrer(restored, code)
        return {
            "cycle": distance(back_degraded, degraded) + distance(back_clean, clean),
            "kl": divergence(mean, log_variance),
            "features": self.features.distance(restored, degraded),
            "prior": prior((self.clean_critic, self.degraded_critic), restored, again),
            "identity": distance(kept, clean),
        }


def distance(image: Tensor, to: Tensor) -> Tensor:
    """Charbonnier's, mean over the batch, scalar."""
    return charbonnier(image - to).mean()


class DisentangledCritics(nn.Module):
    """Terms of both critics: `critic`, `degraded_critic` and their `penalty`, added up.

    What they take for real is mirrored at random.
    """

    def __init__(
        self,
        restorer: Restorer,
        blurrer: CameraBlurrer | NetworkBlurrer,
        blur_encoder: BlurEncoder,
        critics: tuple[Critic, Critic],
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.blurrer = blurrer
        self.blur_encoder = blur_encoder
        self.clean_critic, self.degraded_critic = critics

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        clean, degraded = both(batch)
        mean, log_variance = as_it_trains(self.blur_encoder, degraded)
        code = sampled(mean, log_variance, generator)
        restored = as_it_trains(self.restorer, degraded)
        again = as_it_trains(self.blurrer, clean, code, normal(clean, generator))
        critics = self.clean_critic, self.degraded_critic
        return contests(critics, batch, restored, again, generator)
