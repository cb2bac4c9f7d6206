"""Figure and ground as two layers, of which a mask shows one or the other.

    I = m y1 + (1 - m) y2,     m near 0 or 1

The start of the mask compares the colour and texture around each pixel with those of the hints, a
picture in which white is figure, black is ground, and what is between is unknown.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.calibration import dark_channel
from ssl_restore.errors import UserError
from ssl_restore.objectives.exclusion import exclusion
from ssl_restore.solvers.coupled_layers import (
    Course,
    Drawing,
    Layers,
    consistent_layers,
    draw_layers,
    enlarged,
)

WHITE, BLACK = 0.75, 0.25  # hints above and below
TRUST = 1e-3  # in layers as drawn
NEIGHBOURS = 5
MOST_HINTS = 400  # pixels of a kind that others are compared with
TEXTURE_PX = (5, 11)  # windows of the mean and of the deviation
REFINED = 0.02  # radius of the guided filter of the mask, of the longest side
WEIGHTS = {"mixture": 1.0, "start": 1.0, "exclusion": 0.01, "hints": 1.0, "binary": 0.01}
LATER = 0.05  # of the weight of the start of the mask while the layers are drawn together


class FigureAndGround(Drawing):
    """Terms: `mixture`, mean |m y1 + (1 - m) y2 - I|^2; `start`, mean |m - m0|^2, and while the
    layers are drawn alone |y - I|^2 where m0 shows each; `exclusion` of the layers' edges; `hints`,
    mean |m - hint|^2 where there is one; `binary`, mean m (1 - m)."""

    def __init__(
        self, networks: list[nn.Module], image: Tensor, start: Tensor, hints: tuple[Tensor, Tensor]
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.image, self.start, self.hints = image, start, hints
        self.layers = {"figure": image, "ground": image, "mask": start}

    def terms(self, drawn: list[Tensor], alone: bool) -> Layers:
        figure, ground, m = drawn
        self.layers = {
            "figure": figure.detach(), "ground": ground.detach(), "mask": m.detach()
        }  # fmt: skip
        white, black = self.hints
        together = 0.0 if alone else 1.0
        shown = [(self.start, figure), (1 - self.start, ground)]
        parts = [(share * (y - self.image).square()).mean() for share, y in shown]
        start = (m - self.start).square().mean()
        hinted = (white * (1 - m).square() + black * m.square()).sum() / (white + black).sum()
        mixture = m * figure + (1 - m) * ground
        return {
            "mixture": together * (mixture - self.image).square().mean(),
            "start": start + torch.stack(parts).sum() if alone else LATER * start,
            "exclusion": together * exclusion(figure, ground),
            "hints": hinted,
            "binary": together * (m * (1 - m)).mean(),
        }


def separate(image: Tensor, hints: Tensor | None, course: Course) -> Layers:
    """{"figure", "ground", "mask"} of an image (1, 3, H, W), with hints (1, 1, H, W) in 0 to 1."""
    if hints is None:
        course.notify("without hints, what is in the middle is the figure")
        hints = middle_and_border(image)
    white, black = (hints > WHITE).to(image), (hints < BLACK).to(image)
    if not white.any() or not black.any():
        missing = "figure (white)" if not white.any() else "ground (black)"
        raise UserError(f"no {missing} is marked in it; mark both", parameter="hints")
    small = course.smaller(image)
    marks = [_any_within(mark, small.shape) for mark in (white, black)]
    start = mask_of_hints(small, marks[0], marks[1])
    target = course.reduced(small)
    size = (0, target.shape[3] - small.shape[3], 0, target.shape[2] - small.shape[2])
    networks: list[nn.Module] = [course.network(channels, image.device) for channels in (3, 3, 1)]
    drawing = FigureAndGround(
        networks, target, course.reduced(start), (F.pad(marks[0], size), F.pad(marks[1], size))
    )
    drawn = draw_layers(drawing, WEIGHTS, target, small.shape, course)
    mask = refined_mask(image, enlarged(drawn["mask"], image.shape))
    layers = enlarged(drawn["figure"], image.shape), enlarged(drawn["ground"], image.shape)
    figure, ground = consistent_layers([image], [mask], layers, TRUST)
    return {"figure": figure, "ground": ground, "mask": mask}


def middle_and_border(image: Tensor) -> Tensor:
    """Hints (1, 1, H, W): white within a sixth of the sides around the middle, black at the
    border."""
    height, width = image.shape[2:]
    y = torch.linspace(-1, 1, height).abs()[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width).abs()[None].expand(height, width)
    hints = torch.full((height, width), 0.5)
    hints[(x > 0.95) | (y > 0.95)] = 0.0
    hints[x.square() + y.square() < 1 / 9] = 1.0
    return hints[None, None].to(image)


def mask_of_hints(image: Tensor, white: Tensor, black: Tensor) -> Tensor:
    """(1, 1, H, W), how much nearer a pixel is to white hints than to black ones in colour,
    texture and place: the share of the kernels of its nearest hints."""
    features = _features(image)[0].flatten(1).T
    similar = []
    for mark in (white, black):
        places = mark.flatten().nonzero()[:, 0]
        places = places[torch.linspace(0, len(places) - 1, min(MOST_HINTS, len(places))).long()]
        count = min(NEIGHBOURS, len(places))
        distance = torch.cat(
            [torch.cdist(part, features[places]).topk(count, largest=False).values.mean(dim=1)
             for part in features.split(4096)]
        )  # fmt: skip
        similar.append(-distance.square())
    return torch.stack(similar).softmax(dim=0)[0].view(1, 1, *image.shape[2:])


def _features(image: Tensor) -> Tensor:
    """(1, 8, H, W): mean colour, deviation of each colour in its neighbourhood, and place."""
    small, wide = TEXTURE_PX
    mean = _mean(image, small)
    deviation = (_mean(image.square(), wide) - _mean(image, wide).square()).clamp_min(1e-6).sqrt()
    height, width = image.shape[2:]
    y = torch.linspace(0, height / max(height, width), height).to(image)
    x = torch.linspace(0, width / max(height, width), width).to(image)
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]
    return torch.cat([8 * mean, 16 * deviation, 4 * place], dim=1)


def _mean(image: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(F.pad(image, (side // 2,) * 4, mode="replicate"), side, stride=1)


def _any_within(mark: Tensor, size: torch.Size) -> Tensor:
    return F.adaptive_max_pool2d(mark, (size[2], size[3]))


def refined_mask(image: Tensor, mask: Tensor) -> Tensor:
    """A mask (1, 1, H, W) brought to the edges of the image by a guided filter."""
    guide = image[0].cpu().numpy().clip(0, 1)
    radius = max(1, round(REFINED * max(image.shape[2:])))
    refined = dark_channel.guided(guide, mask[0, 0].cpu().numpy(), radius)
    return torch.from_numpy(refined).to(image)[None, None].clamp(0, 1)
