"""Camera shake: a trembling hand shifts the picture and turns it about its middle.

    I(x) = sum over n of w_n(x) (k_n * J)(x),     k_n = the way of the light at node n

The way at a node o (from the middle of the picture) is p(t) + (R(roll(t)) - 1) o: of one kind
everywhere without roll, and different from corner to corner with it. The nodes are 3 x 3 over the
picture, the weights w_n smooth and of sum one. Linear light, where radiances add; `shake` converts
from display values and back, `shake_light` and its adjoint are linear. The border mirrors.

References: Boracchi and Foi, "Modeling the performance of image restoration from motion blur",
IEEE TIP 2012, section II-B (random ways: inertia, tremor and a pull back); Hirsch, Sra, Schoelkopf
and Harmeling, "Efficient filter flow for space-variant multiframe blind deconvolution", CVPR 2010
(kernels between nodes).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .color import to_display, to_linear
from .kernels import convolve, convolve_adjoint, near, path_kernel
from .types import Range, Shape, check_batch, check_image, check_values, map_tensors, uniform

_NODES = 3  # along each side


@dataclass(frozen=True)
class ShakeParams:
    """Parameters of `shake`: one row an image, one column a moment, evenly over the exposure.

    Example:
        >>> ShakeParams(torch.zeros(1, 5), torch.zeros(1, 5)).roll_rad is None
        True
    """

    x_px: Tensor  # (B, P) shift to the right
    y_px: Tensor  # (B, P) shift down
    roll_rad: Tensor | None = None  # (B, P) turn about the middle, right to down; None is none


def _nodes(picture: Tensor, params: ShakeParams, index: int) -> list[tuple[Tensor, Tensor]]:
    """(w_n (H, W), k_n (K, K)) of every node; without roll there is one, of weight 1."""
    x, y = params.x_px[index], params.y_px[index]
    height, width = picture.shape[-2:]
    if params.roll_rad is None:
        return [(picture.new_ones(()), path_kernel(x, y))]
    down, right = params.roll_rad[index].cos() - 1, params.roll_rad[index].sin()
    nodes = torch.arange(_NODES, device=picture.device, dtype=picture.dtype)

    def weights(side: int) -> Tensor:  # (side, nodes)
        place = torch.arange(side, device=picture.device, dtype=picture.dtype) + 0.5
        return near(place * ((_NODES - 1) / side), nodes)

    weighted = []
    for row, of_rows in enumerate(weights(height).T):
        for column, of_columns in enumerate(weights(width).T):
            to_down = (row / (_NODES - 1) - 0.5) * height
            to_right = (column / (_NODES - 1) - 0.5) * width
            kernel = path_kernel(
                x + down * to_right - right * to_down, y + right * to_right + down * to_down
            )
            weighted.append((of_rows[:, None] * of_columns, kernel))
    return weighted


def _summed(
    light: Tensor, params: ShakeParams, at_node: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    check_batch(light)
    if len(params.x_px) != len(light):
        raise ValueError(f"{len(light)} images need as many ways, got {len(params.x_px)}")
    side = max(light.shape[-2:])
    unit = f"px in a picture of {light.shape[-1]} x {light.shape[-2]}"
    for name in ("x_px", "y_px"):  # the size of the kernel is read from them in any case
        check_values(name, getattr(params, name).cpu(), unit, -side, side)
    params = map_tensors(params, lambda t: t.to(light))
    pictures = []
    for index, picture in enumerate(light):
        parts = [at_node(picture, *node) for node in _nodes(picture, params, index)]
        pictures.append(torch.stack(parts).sum(0))
    return torch.stack(pictures)


def shake_light(light: Tensor, params: ShakeParams) -> Tensor:
    """A J for linear light: a linear map.

    Args:
        light: (B, C, H, W) linear light.
        params: one row an image.

    Returns:
        (B, C, H, W) linear light, not clamped.

    Raises:
        ValueError: for shifts above the longer side.

    Example:
        >>> params = ShakeParams(torch.tensor([[-1.0, 1.0]]), torch.zeros(1, 2))
        >>> shake_light(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), params)
        tensor([[[[0.0000, 0.2500, 0.5000, 0.2500, 0.0000]]]])
    """
    return _summed(light, params, lambda j, weight, kernel: weight * convolve(j, kernel))


def shake_adjoint(light: Tensor, params: ShakeParams) -> Tensor:
    """A^T y, the adjoint of `shake_light`: <A x, y> = <x, A^T y>.

    Args:
        light: (B, C, H, W).
        params: those of `shake_light`.

    Returns:
        (B, C, H, W).

    Example:
        >>> params = ShakeParams(torch.tensor([[-1.0, 1.0]]), torch.zeros(1, 2))
        >>> shake_adjoint(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), params)
        tensor([[[[0.0000, 0.2500, 0.5000, 0.2500, 0.0000]]]])
    """
    return _summed(light, params, lambda y, weight, kernel: convolve_adjoint(weight * y, kernel))


def shake(image: Tensor, params: ShakeParams) -> Tensor:
    """A J in linear light: every point of light becomes the way of the camera.

    Args:
        image: (B, C, H, W) display values.
        params: one row an image.

    Returns:
        (B, C, H, W) display values, not clamped.

    Raises:
        ValueError: for shifts above the longer side.

    Example:
        >>> params = ShakeParams(torch.tensor([[-1.0, 1.0]]), torch.zeros(1, 2))
        >>> shake(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]), params)
        tensor([[[[0.0000, 0.5371, 0.7354, 0.5371, 0.0000]]]])
    """
    check_image(image)
    return to_display(shake_light(to_linear(image), params))


@dataclass(frozen=True)
class Shake:
    """Prior over hands: ways of `points` steps that bend at random and are pulled back.

    Steps are of one length, ways lie about their mean; in a picture that is smaller than the way
    drawn, it is as long as the picture.

    Example:
        >>> prior = Shake(points=5)
        >>> prior.sample((2, 3, 40, 40), torch.Generator().manual_seed(0)).x_px.shape
        torch.Size([2, 5])
    """

    length_px: Range = (2.0, 20.0)  # of the whole way, bends and all
    tremor: Range = (0.1, 1.0)  # of the direction, from step to step
    pull: float = 0.7  # back to the start, in shares of the tremor
    roll_rad: Range = (0.0, 0.01)  # greatest turn either way
    points: int = 17

    apply = staticmethod(shake)

    def __post_init__(self) -> None:
        check_values("length_px", self.length_px, "px")
        check_values("tremor", self.tremor, "steps")
        check_values("pull", self.pull, "share of the tremor")
        check_values("roll_rad", self.roll_rad, "rad", 0, math.pi / 2)
        check_values("points", self.points, "number", 2)

    def sample(self, shape: Shape, generator: torch.Generator) -> ShakeParams:
        batch = shape[0]
        length = uniform(self.length_px, (batch, 1), generator).clamp(max=float(max(shape[2:])))
        tremor = uniform(self.tremor, (batch, 1), generator)
        place = torch.zeros(batch, 2)
        step = torch.randn(batch, 2, generator=generator)
        places = [place]
        for _ in range(self.points - 1):
            step = step / step.norm(dim=1, keepdim=True).clamp_min(1e-6)
            place = place + step
            places.append(place)
            shock = torch.randn(batch, 2, generator=generator)
            step = step + tremor * (shock - self.pull * place)
        way = torch.stack(places, dim=2) * (length / (self.points - 1)).unsqueeze(2)
        x, y = (way - way.mean(dim=2, keepdim=True)).unbind(dim=1)
        if not any(self.roll_rad):
            return ShakeParams(x, y)
        roll = torch.randn(batch, self.points, generator=generator).cumsum(dim=1)
        roll = roll - roll.mean(dim=1, keepdim=True)
        greatest = uniform(self.roll_rad, (batch, 1), generator)
        return ShakeParams(x, y, roll * (greatest / roll.abs().amax(dim=1, keepdim=True)))
