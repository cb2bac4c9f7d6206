"""A restorer on pictures that use a part of the range of their file.

restored = min(f(min(I / white, 1)), 1) * white,   and what is beyond white as far as f leaves it
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from ssl_restore.restorer import Restorer, Wrapped

DROPPED, KEPT = 0.5, 0.9  # restored values from which what is beyond white is kept in part, whole


class Ranged(Wrapped):
    """image (B, 3, H, W), sides multiples of `stride`, in which `white` is white -> restored.

    A single pixel beyond is mostly a hot one: where the restorer takes it away what is beyond goes
    as well, and where it leaves white it comes back whole. No other pixel is beyond in the result.
    With `beyond=False`, for layers that are no pictures, none is.
    """

    def __init__(self, inner: Restorer, white: float, *, beyond: bool = True) -> None:
        super().__init__(inner)
        if not 0 < white <= 1:
            raise ValueError(f"white must be above 0 and at most 1, got {white}")
        self.white, self.beyond = white, beyond

    def suited(self, windows: Tensor) -> Restorer:
        return super().suited((windows / self.white).clamp(max=1))

    def overview(self, small: Tensor) -> Tensor:
        return self.inner.overview((small / self.white).clamp(max=1))

    def remark(self, small: Tensor, maps: Tensor) -> str | None:
        return self.inner.remark((small / self.white).clamp(max=1), maps)

    def forward(self, image: Tensor, *maps: Tensor) -> Tensor:
        given = image if self.beyond else image.clamp(max=self.white)
        return within_white(lambda inside: self.inner(inside, *maps), given, self.white)


def within_white(restore: Callable[[Tensor], Tensor], image: Tensor, white: float) -> Tensor:
    """What `restore` makes of an image (B, 3, H, W) in which `white` is white."""
    stretched = image / white
    inside = stretched.clamp(max=1)
    restored = restore(inside).to(image).clamp(max=1)
    kept = ((restored - DROPPED) / (KEPT - DROPPED)).clamp(0, 1)
    beyond = stretched - inside
    if beyond.shape[-2:] != restored.shape[-2:]:  # of one that enlarges
        beyond = F.interpolate(beyond, restored.shape[-2:], mode="nearest")
    return (restored + kept * beyond) * white
