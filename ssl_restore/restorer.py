"""What a restorer promises: the contract of every network that is learned, shipped and applied.

A restorer can be asked what it needs before it is run: the multiple that the sides of its input
must have, how far it sees, how much larger its output is, and which layers it can tell apart.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

SQUARE = tuple(range(8))  # all symmetries of the square: mirrored from the fifth on, then rotated
UPRIGHT = (0, 4)  # as it is and mirrored left to right: what falls down keeps falling

AnyRestorer = TypeVar("AnyRestorer", bound="Restorer")


class Restorer(nn.Module):
    """A network from a degraded image to a clean one, with the contract that tiling relies on.

    A subclass sets `stride` and `reach`, and defines `forward`; one that separates layers also
    sets `layer_names`, `layers_reach` and defines `layers`.

    Attributes:
        stride: Sides of the input must be multiples of it (pixels).
        reach: Receptive field to any side (pixels): the margin that makes tiles exact.
        scale: Sides of the output over those of the input.
        task: Name of the task that it was learned for; empty until a checkpoint or recipe sets it.
        symmetry: Positions (0 to 7) of an image that the task does not tell apart.
        layer_names: Keys of what `layers` returns.
        thorough: From 0, which leaves what might belong to the scene, to 1, which takes what might
            be degradation; None: the restorer cannot be told.
        careful: By how much less thorough it is at smaller sizes.
        coarse_from: Applied at half the size, too, and at a quarter of it to pictures with a
            longest side of so many pixels or more (`inference.fine_to_coarse`); None: never.
        overview_px: Longest side at which it first looks at the whole picture, before the tiles
            (`networks.overview`); None: it needs no such look.
        white: Display value that is white in what it is given, and is not left.
        chooses: Whether `suited` gives another one for each picture.
        looks_at: Share of the sides of a picture, but of a large one, that `suited` is shown.
        note: What the user should know of the picture that it was chosen for; None: nothing.
    """

    stride: int
    reach: int
    scale: int = 1
    task: str = ""
    symmetry: tuple[int, ...] = SQUARE
    layer_names: tuple[str, ...] = ("clean",)
    thorough: float | None = None
    careful: float = 0.25
    coarse_from: int | None = None
    overview_px: int | None = None
    white: float = 1.0
    chooses: bool = False
    looks_at: float = 0.7
    note: str | None = None

    @property
    def layers_reach(self) -> int:
        """Receptive field of `layers`, at least `reach` (pixels)."""
        return self.reach

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) display values -> clean (B, 3, scale H, scale W), not clamped.

        One with an `overview_px` takes for a window of a picture the same window of what its
        `overview` told, too.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def overview(self, small: Tensor) -> Tensor:
        """(B, 3, h, w), the whole picture at `overview_px` or smaller, -> maps (B, C, h, w)."""
        raise NotImplementedError(f"{type(self).__name__} defines no overview")

    def remark(self, small: Tensor, maps: Tensor) -> str | None:
        """What the user should know of a picture (1, 3, h, w), from its overview; None: nothing."""
        return None

    def layers(self, image: Tensor) -> Mapping[str, Tensor]:
        """`layer_names` -> (B, 1 or 3, scale H, scale W) each; `clean` is what `forward` gives."""
        return {"clean": self(image)}

    def suited(self, windows: Tensor) -> Restorer:
        """The one for a picture, of which (K, 3, h, w) are windows; itself unless it `chooses`."""
        return self

    def told(self: AnyRestorer, thorough: float) -> AnyRestorer:
        """The same weights, told how thorough to be; for one that can be told."""
        copied = copy.copy(self)
        copied.thorough = thorough
        return copied

    def at_smaller_sizes(self) -> Restorer:
        """The one for smaller sizes of what this one has restored: less thorough by what it says
        (`careful`), where it can be told."""
        return self if self.thorough is None else self.told(max(0.0, self.thorough - self.careful))

    def to_average(self) -> Restorer:
        """The one whose results for several positions of a picture are averaged; itself unless it
        says otherwise."""
        return self

    def to_hurry(self) -> Restorer:
        """The one that takes less time for a little less; itself unless it says otherwise."""
        return self

    @property
    def core(self) -> Restorer:
        """The restorer inside all wrappers; itself where there is none."""
        return self

    def folded(self: AnyRestorer) -> AnyRestorer:
        """A copy for inference alone, in which every part that can `fold_norms()` has done so."""
        copied = copy.deepcopy(self).eval()
        for part in list(copied.modules()):
            fold_norms = getattr(part, "fold_norms", None)
            if fold_norms is not None:
                fold_norms()
        return copied


class Wrapped(Restorer):
    """A restorer around another one: it passes on the contract, of which a subclass changes parts.

    Args:
        inner: The restorer inside.
    """

    def __init__(self, inner: Restorer) -> None:
        super().__init__()
        self.inner = inner
        self.stride, self.reach, self.scale = inner.stride, inner.reach, inner.scale
        self.task, self.symmetry = inner.task, inner.symmetry
        self.coarse_from, self.overview_px = inner.coarse_from, inner.overview_px
        self.white, self.chooses, self.looks_at = inner.white, inner.chooses, inner.looks_at

    def suited(self, windows: Tensor) -> Restorer:
        return self._around(self.inner.suited(windows))

    def at_smaller_sizes(self) -> Restorer:
        return self._around(self.inner.at_smaller_sizes())

    def to_average(self) -> Restorer:
        return self._around(self.inner.to_average())

    def to_hurry(self) -> Restorer:
        return self._around(self.inner.to_hurry())

    def _around(self, inner: Restorer) -> Restorer:
        copied = copy.copy(self)
        copied._modules = {**self._modules, "inner": inner}
        copied.coarse_from, copied.chooses = inner.coarse_from, inner.chooses
        copied.looks_at, copied.note = inner.looks_at, inner.note
        return copied

    def overview(self, small: Tensor) -> Tensor:
        return self.inner.overview(small)

    def remark(self, small: Tensor, maps: Tensor) -> str | None:
        return self.inner.remark(small, maps)

    @property
    def core(self) -> Restorer:
        return self.inner.core
