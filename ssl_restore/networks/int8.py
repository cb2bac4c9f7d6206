"""Residual blocks with convolutions of 8-bit integers, for inference on x86 processors.

    q = round(relu(bn(x)) / s)      0 .. 255,     one s a layer
    W = round(w / t)                -64 .. 64,    one t an output channel
    y = s t (W * q) + bias

Convolutions multiply and add whole numbers and are scaled back once. The sums of the residual
blocks, and all layers around them, stay in floating point. How large the activations are is
measured beforehand on a few pictures; what is larger is cut off.

Weights end at 64: processors without VNNI add pairs of products in 16 bits, and 2 * 255 * 64 is
the most that these hold. So every processor computes the same.

The convolution is oneDNN's, by the operator that torch's own compiler calls. Reference: Jacob et
al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_restore.networks.unet import ResidualBlock
from ssl_restore.restorer import AnyRestorer

LARGEST = 255  # activation
LARGEST_WEIGHT = 64
HEADROOM = 1.25  # of the largest activation that was measured
TINY = 1e-6
Ranges = dict[str, tuple[float, float]]  # largest activation before the convolutions of a block


class _Convolution:
    """3x3 of q (B, in, H, W), uint8; `weight` and `bias` are in units of q and of the result."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        step = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12) / LARGEST_WEIGHT
        whole = (weight / step.view(-1, 1, 1, 1)).round().to(torch.int8)
        self.step, self.bias = step, bias.float()
        self.zero = torch.zeros(len(step), dtype=torch.int32)
        self.packed = torch.ops.onednn.qconv_prepack(
            whole, step, 1.0, 0, [1, 1], [1, 1], [1, 1], 1, None
        )

    def __call__(self, q: Tensor, *, whole: bool) -> Tensor:
        """(B, out, H, W): the sum, or if `whole` that after a ReLU as uint8."""
        kind, after = (torch.uint8, "relu") if whole else (torch.float32, "none")
        return torch.ops.onednn.qconv2d_pointwise(
            q, 1.0, 0, self.packed, self.step, self.zero, self.bias, [1, 1], [1, 1], [1, 1], 1,
            1.0, 0, kind, after, [], "",
        )  # fmt: skip


class Int8Block(nn.Module):
    """What a residual block with a folded norm computes, (B, C, H, W) -> the same, float32."""

    def __init__(self, block: ResidualBlock, ranges: tuple[float, float]) -> None:
        super().__init__()
        first, second = (max(HEADROOM * largest, TINY) / LARGEST for largest in ranges)
        norm = block.norm1
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * gain
        self.gain = (gain / first).view(1, -1, 1, 1)
        self.shift = (shift / first + 0.5).view(1, -1, 1, 1)  # cut off below, it is rounded so
        self.conv1 = _Convolution(first / second * block.conv1.weight, _bias(block.conv1) / second)
        self.conv2 = _Convolution(second * block.conv2.weight, _bias(block.conv2))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float().contiguous(memory_format=torch.channels_last)
        q = torch.addcmul(self.shift, x, self.gain).clamp_(0, LARGEST + 0.49).to(torch.uint8)
        return self.conv2(self.conv1(q, whole=True), whole=False).add_(x)


def _bias(convolution: nn.Conv2d) -> Tensor:
    if convolution.bias is None:
        return convolution.weight.new_zeros(convolution.out_channels)
    return convolution.bias


@torch.inference_mode()
def measured(restorer: nn.Module, images: Iterable[Tensor]) -> Ranges:
    """The largest activations before the convolutions of every block with a folded norm, over
    images (1, 3, H, W) with sides that the restorer takes, in the order of computation; none for
    a block that they do not reach."""
    found: dict[tuple[str, int], float] = {}

    def look(module: nn.Module, given: Any, output: Tensor, *, place: tuple[str, int]) -> None:
        found[place] = max(found.get(place, 0.0), float(output.max()))

    blocks = dict(_blocks(restorer))
    if not blocks:
        return {}
    hooks = [
        norm.register_forward_hook(partial(look, place=(name, number)))
        for name, block in blocks.items()
        for number, norm in enumerate((block.norm1, block.norm2))
    ]
    try:
        for image in images:
            restorer(image.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    order = [name for name, number in found if number == 0]
    return {name: (found[name, 0], found[name, 1]) for name in order}


@torch.no_grad()
def quantised(restorer: AnyRestorer, ranges: Ranges) -> AnyRestorer:
    """A copy, on the CPU, whose blocks with known ranges compute with integers of 8 bits."""
    copied = restorer.folded()
    for name, block in _blocks(copied):
        if name in ranges:
            parent, _, own = name.rpartition(".")
            setattr(copied.get_submodule(parent), own, Int8Block(block, ranges[name]))
    return copied


def _blocks(net: nn.Module) -> list[tuple[str, ResidualBlock]]:
    return [
        (name, part)
        for name, part in net.named_modules()
        if isinstance(part, ResidualBlock) and isinstance(part.norm2, nn.Identity)
    ]


@cache
def is_exact() -> bool:
    """Whether this torch has the operator and this processor adds the largest products exactly."""
    channels = 32
    q = torch.full((1, channels, 4, 4), LARGEST, dtype=torch.uint8)
    weight = torch.full((channels, channels, 3, 3), float(LARGEST_WEIGHT))
    weight[::2] *= -1
    try:
        convolution = _Convolution(weight, torch.zeros(channels))
        found = convolution(q.contiguous(memory_format=torch.channels_last), whole=False)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool(torch.equal(found, F.conv2d(q.double(), weight.double(), padding=1).float()))
