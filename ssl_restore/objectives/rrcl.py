"""Rain removal via contrastive learning (RRCL): InfoNCE and degradation consistency.

    total = lambda_c InfoNCE(g(E(I)), g(E(positive(I)))) + lambda_r reconstruction

`literal`, as published:  |I - A(D(E(I)))|, A adds fresh random rain. Where rain is sparse its
median is zero, so the L1 minimiser is D(E(I)) = I: this term cannot remove rain, and it is kept
so that the claim can be checked.

`repaired`: what is re-added is rain estimated from this image, and the degraded picture must be
restored to the background that it was made from:

    label * d(D(E(I)), opening(I))  +  d(D(E(B + R)), B)

The first distance is |I - A(D(E(I)))| with A adding the layer I - opening(I), the rain that a
morphological opening finds in I: an estimate that cannot drift, as it does not learn. In the
second, B is a clean photograph and R the rain estimated from a picture of the batch: at first by
the same opening for half of the batch, which becomes less until the middle of the run, and by the
averaged restorer ([I - average(I)]_+) for the rest. A warm start needs no opening.
With B = I - R, or with the average's layers alone, a restorer that removes nothing yet asks for
f(I) = I, and the identity wins again (measured; see benchmarks/EXPERIMENTS.md).

What is contrasted:

`scenes`     places in B + R with the same places in B + R', R' the rain of another picture, by the
             encoder's moving average; negatives are all other places. To know a place in any rain,
             the encoder has to tell the scene from the rain, as the decoder must.
`pictures`   as published: a picture with itself cropped, jittered and blurred; negatives are the
             other pictures of the batch.
`layers`     patches of what was restored with patches of the rain that was taken.
`pcl`, `aecr`, `triplet`   f(B + R) with B and B + R (`picture_contrast`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degradations.rain import Rain
from degradations.sampling import degrade
from degradations.sensor import quantise
from degradations.types import uniform
from ssl_restore.networks.critic import Critic
from ssl_restore.networks.projection import ProjectionHead
from ssl_restore.networks.unet import RainUNet
from ssl_restore.objectives.contrast import info_nce, info_nce_against, place_contrast
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.opening import opening
from ssl_restore.objectives.picture_contrast import Judged, picture_contrast
from ssl_restore.objectives.positives import positive
from ssl_restore.objectives.rain_transfer import rain_layer
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

TILE_PX = 16  # of the patches that `LayerContrast` compares
PLACES = 32  # of a picture that are contrasted, at each depth


class Contrast(nn.Module):
    """Terms: `contrast`.  Embeds pictures with the encoder of a restorer and a projection head."""

    whole_batch = True  # each picture is told from all others

    def __init__(self, encoder: nn.Module, head: ProjectionHead, temperature: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.temperature = temperature

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        degraded = batch.degraded
        assert degraded is not None
        pair = torch.cat([degraded, positive(degraded, generator)])
        anchor, other = self.head(self.encoder(pair)[-1]).chunk(2)
        same = (degraded[:, None] == degraded).flatten(2).all(dim=2)
        return {"contrast": info_nce(anchor, other, self.temperature, same)}


class LayerContrast(nn.Module):
    """Terms: `contrast`.  Patches of the restored picture against patches of its rain layer.

    The positive of a patch is the restored one of the same picture that looks most like it, the
    negatives are those of I - D(E(I)). Reference: Ye et al., "Unsupervised deraining: where
    contrastive learning meets self-similarity", CVPR 2022.
    """

    def __init__(self, restorer: RainUNet, head: ProjectionHead, temperature: float) -> None:
        super().__init__()
        self.restorer = restorer
        self.head = head
        self.temperature = temperature

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        degraded = batch.degraded
        assert degraded is not None
        restored = self.restorer(degraded)
        moved = torch.randint(TILE_PX, (2,), generator=generator).tolist()  # where tiles begin
        background, layer = (
            tiles(image.roll(moved, (2, 3))) for image in (restored, degraded - restored)
        )
        count, each = background.shape[:2]
        flat = background.detach().flatten(2).float()
        apart = torch.cdist(flat, flat) + torch.diag_embed(flat.new_full((count, each), torch.inf))
        nearest = apart.argmin(dim=2)
        features = self.restorer.encoder(torch.cat([background, layer]).flatten(0, 1))[-1]
        anchor, negative = self.head(features).unflatten(0, (-1, each)).chunk(2)
        positive = anchor.gather(1, nearest[:, :, None].expand_as(anchor))
        return {"contrast": info_nce_against(anchor, positive, negative, self.temperature)}


def tiles(image: Tensor) -> Tensor:
    """(B, C, H, W), sides multiples of 16 px -> (B, K, C, 16, 16), side by side."""
    cut = image.unfold(2, TILE_PX, TILE_PX).unfold(3, TILE_PX, TILE_PX)
    return cut.flatten(2, 3).transpose(1, 2)


class LiteralReconstruction(nn.Module):
    """Terms: `reconstruction`, mean |I - (restored + random rain)|; the identity minimises it."""

    def __init__(self, restorer: Restorer, rain: Rain) -> None:
        super().__init__()
        self.restorer = restorer
        self.rain = rain

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        degraded = batch.degraded
        assert degraded is not None
        again = degrade(self.restorer(degraded), self.rain, generator)
        return {"reconstruction": (degraded - again).abs().mean()}


class RepairedReconstruction(nn.Module):
    """Terms: `reconstruction`, with rain estimated from the image itself, and `contrast` of scenes
    where there are heads for it, or of pictures where there is a critic.

    Args:
        restorer: What learns.
        ema: Its average.
        label: Weight of the opening's label at the start; falls to a tenth, which it has in a warm
            start.
        heads: Projection heads of the encoder's depths, finest first.
        temperature: Of InfoNCE.
        judged: A critic, and a kind of `picture_contrast`.
    """

    def __init__(
        self,
        restorer: RainUNet,
        ema: RainUNet,
        label: float,
        heads: nn.ModuleList | None = None,
        temperature: float = 0.1,
        judged: Judged | None = None,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.ema = ema
        self.label = label
        self.heads = heads
        self.critic: Critic | None
        self.critic, self.kind = judged or (None, "")
        self.temperature = temperature

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        degraded, clean = batch.degraded, batch.clean
        assert degraded is not None
        assert clean is not None
        opened = opening(degraded)
        learned = 1.0 if batch.warm else batch.progress
        count = round(0.5 * len(degraded) * max(0.0, 1 - 2 * learned))
        coarse = (degraded[:count] - opened[:count]).mean(dim=1, keepdim=True)
        fine = rain_layer(self.ema, degraded[count:], threshold=0.01)
        layer = torch.cat([coarse, fine])
        gain = uniform((0.9, 1.6), (len(degraded), 1, 1, 1), generator).to(degraded.device)
        moved = gain * layer.roll(1, dims=0).flip(3)  # another image's rain, mirrored
        again = quantise(clean + moved)
        both = torch.cat([degraded, again])
        anchors: list[Tensor] = []
        if self.heads is None:
            restored = self.restorer(both)
        else:
            features = self.restorer.features(both)
            restored = self.restorer.streaks(both, features=features)[1]
            anchors = [maps[len(degraded) :] for maps in features]
        first, second = restored.chunk(2)
        label = self.label * (1 - 0.9 * learned)
        terms = {
            "reconstruction": label * relative(charbonnier(first - opened))
            + relative(charbonnier(second - clean))
        }
        if self.heads is not None:
            other = uniform((0.0, 1.6), gain.shape, generator).to(gain) * layer  # its own rain
            with torch.no_grad():
                keys = self.ema.features(quantise(clean + other))
            terms["contrast"] = place_contrast(
                anchors, keys, [head.places for head in self.heads],  # type: ignore[misc]
                temperature=self.temperature, places=PLACES, generator=generator,
            )  # fmt: skip
        if self.critic is not None:
            terms["contrast"] = picture_contrast(
                self.kind, self.critic, second, clean, again, generator
            )
        return terms


class Joined(nn.Module):
    """Several objectives on the same batch; their terms must have different names."""

    def __init__(self, *objectives: nn.Module) -> None:
        super().__init__()
        self.objectives = nn.ModuleList(objectives)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for objective in self.objectives:
            terms |= objective(batch, generator)
        return terms

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch as prepared by those that prepare one."""
        for objective in self.objectives:
            if hasattr(objective, "prepare"):
                batch = objective.prepare(batch, generator)  # type: ignore[operator]
        return batch
