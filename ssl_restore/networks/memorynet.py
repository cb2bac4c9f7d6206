"""MemoryNet: a picture restored in three stages, with a memory of what clean pictures are made of.

    X_s = I + head_s(F_s),     F_s' = F_s + body(F_s) sigmoid(attention(X_s)),     s = 1, 2
    X_3 = I + head_3(F_3),     F_3 of I, F_2' and the features of the second stage

The first two stages are small U-Nets at half the size, the third keeps the size. Each predicts a
restored picture X_s, by which it weighs the features F_s' that it hands on (supervised attention).
The encoder of the second stage also takes the features of the first one's encoder and decoder, at
every level; those of the second reach the third (cross-stage fusion). The coarsest features of both
U-Nets pass a `memory`.

Nothing looks at the whole picture, so that tiles are exact: a memory is addressed at each pixel,
there is no attention over channels, which would take means over the picture, and the first stages
see the picture itself, not quarters and halves of it. There are no norms either. Untrained, the
restored pictures of all stages are the input.

References: Zhang, Gu and Zhu, "Memory augment is all you need for image restoration", arXiv
2309.01377; Zamir et al., "Multi-stage progressive image restoration", CVPR 2021 (stages, supervised
attention, cross-stage fusion); `memory.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks import unet
from ssl_restore.networks.memory import SHRINKAGE, Memory, Reading
from ssl_restore.networks.upscaler import ResidualBlock
from ssl_restore.networks.zeroed import zeroed
from ssl_restore.restorer import Restorer

FOLDED = 4 * 3  # channels of a picture at half the size, folded by pixel-unshuffle
BLOCKS = (1, 1, 2)  # residual blocks a level of a U-Net, finest first
FULL_BLOCKS = 3  # residual blocks at the size of the picture
PROTOTYPES = (64, 32, 16)  # of parts, instances and semantics

Maps = list[Tensor]  # features, a level each, finest first: (B, width 2^l, H / 2^(l+1), ...)


class SmallUNet(nn.Module):
    """Features (B, width, H / 2, W / 2) -> those of all levels, by `encode` and then `decode`.

    Args:
        width: Channels at the finest level.
        blocks: Residual blocks a level, finest first.
        memory: Of the coarsest features; None: none.
        fused: Whether it takes the features of an earlier U-Net.
    """

    def __init__(
        self, width: int, blocks: tuple[int, ...], memory: Memory | None, *, fused: bool
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(blocks))]
        pairs = list(zip(widths, blocks, strict=True))
        self.levels = nn.ModuleList(_blocks(w, n) for w, n in pairs)
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.ups = nn.ModuleList(nn.Conv2d(2 * w, 4 * w, 1) for w in widths[:-1])
        self.decoded = nn.ModuleList(_blocks(w, n) for w, n in pairs[:-1])
        self.fusions = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in widths if fused)
        self.memory = memory

    def encode(self, x: Tensor, earlier: tuple[Maps, Maps] | None = None) -> Maps:
        """Maps of the encoder; `earlier` are those of both parts of another U-Net."""
        maps = []
        for level, blocks in enumerate(self.levels):
            if level:
                x = self.downs[level - 1](x)
            if earlier is not None:
                x = x + self.fusions[level](torch.cat([part[level] for part in earlier], dim=1))
            x = blocks(x)
            maps.append(x)
        return maps

    def decode(self, maps: Maps) -> Maps:
        """Maps of the decoder, the coarsest after the memory."""
        x = maps[-1] if self.memory is None else self.memory(maps[-1])
        decoded = [x]
        for up, blocks, skip in zip(
            reversed(self.ups), reversed(self.decoded), reversed(maps[:-1]), strict=True
        ):
            x = blocks(F.pixel_shuffle(up(x), 2) + skip)
            decoded.append(x)
        return decoded[::-1]


class SupervisedAttention(nn.Module):
    """F (B, C, H / 2, W / 2) and the folded picture I -> X, folded as I, and F' like F."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = zeroed(nn.Conv2d(channels, FOLDED, 3, padding=1))
        self.body = nn.Conv2d(channels, channels, 1)
        self.attention = nn.Conv2d(FOLDED, channels, 1)

    def forward(self, features: Tensor, folded: Tensor) -> tuple[Tensor, Tensor]:
        restored = folded + self.head(features).float()
        return restored, features + self.body(features) * torch.sigmoid(self.attention(restored))


class MemoryNet(Restorer):
    """image (B, 3, H, W), sides multiples of `stride`, -> X_3, the same shape."""

    def __init__(
        self, width: int, blocks: tuple[int, ...], prototypes: tuple[int, ...], shrinkage: float,
        *, memory: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        coarsest = unet.deepest_channels(width, blocks)

        def remembering(*, fused: bool) -> SmallUNet:
            own = Memory(coarsest, prototypes, shrinkage) if memory else None
            return SmallUNet(width, blocks, own, fused=fused)

        self.stride = 2 ** len(blocks)
        self.reach = 2 * unet.reach(blocks) + 2 * FULL_BLOCKS + 1
        self.stem1 = nn.Conv2d(FOLDED, width, 3, padding=1)
        self.unet1 = remembering(fused=False)
        self.attend1 = SupervisedAttention(width)
        self.stem2 = nn.Conv2d(FOLDED, width, 3, padding=1)
        self.merge2 = nn.Conv2d(2 * width, width, 1)
        self.unet2 = remembering(fused=True)
        self.attend2 = SupervisedAttention(width)
        self.stem3 = nn.Conv2d(3, width // 2, 3, padding=1)
        self.widen = nn.Conv2d(3 * width, 2 * width, 1)  # half as many channels at twice the size
        self.merge3 = nn.Conv2d(2 * (width // 2), width // 2, 1)
        self.full = _blocks(width // 2, FULL_BLOCKS)
        self.head3 = zeroed(nn.Conv2d(width // 2, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return self.stages(image)[-1]

    def stages(self, image: Tensor) -> list[Tensor]:
        """Restored pictures of the three stages, (B, 3, H, W) each, the last one the result."""
        folded = F.pixel_unshuffle(image, 2)
        restored1, encoded = self._to_second(folded)[1:]
        decoded = self.unet2.decode(encoded)
        restored2, attended = self.attend2(decoded[0], folded)
        wide = self.widen(torch.cat([attended, encoded[0], decoded[0]], dim=1))
        x = torch.cat([self.stem3(image), F.pixel_shuffle(wide, 2)], dim=1)
        x = self.full(self.merge3(x))
        halves = [F.pixel_shuffle(restored, 2) for restored in (restored1, restored2)]
        return [*halves, image + self.head3(x).float()]

    def _to_second(self, folded: Tensor) -> tuple[Maps, Tensor, Maps]:
        """Maps of the first encoder, X_1, folded, and maps of the second encoder."""
        first = self.unet1.encode(self.stem1(folded))
        decoded = self.unet1.decode(first)
        restored, attended = self.attend1(decoded[0], folded)
        x = self.merge2(torch.cat([self.stem2(folded), attended], dim=1))
        return first, restored, self.unet2.encode(x, (first, decoded))

    def features(self, image: Tensor) -> Maps:
        """Of the encoder of the first stage."""
        return self.unet1.encode(self.stem1(F.pixel_unshuffle(image, 2)))

    def readings(self, image: Tensor, *, at_rest: bool = False) -> list[Reading]:
        """What the memories of both U-Nets make of a picture; none without a memory.

        `at_rest` gives a gradient to the memories alone, not to what encodes the picture.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not at_rest):
            first, _, second = self._to_second(F.pixel_unshuffle(image, 2))
        pairs = (self.unet1.memory, first), (self.unet2.memory, second)
        return [memory.read(maps[-1]) for memory, maps in pairs if memory is not None]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(count)])


def build(
    *,
    width: int = 32,
    blocks: tuple[int, ...] = BLOCKS,
    prototypes: tuple[int, ...] = PROTOTYPES,
    shrinkage: float = SHRINKAGE,
    memory: bool = True,
) -> MemoryNet:
    """`width` channels at half the size, half as many at full size, residual `blocks` a level of
    the U-Nets, finest first, `prototypes` of parts, instances and semantics, and the `shrinkage` of
    small weights; without `memory` it has neither."""
    if width < 2 or width % 2:
        raise ValueError(f"width must be even and at least 2, got {width}")
    return MemoryNet(width, tuple(blocks), tuple(prototypes), shrinkage, memory=memory)
