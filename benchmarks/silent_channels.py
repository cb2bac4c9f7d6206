"""Channels of a denoiser that no picture wakes, written as zeros: what inference leaves out.

    python benchmarks/silent_channels.py denoise.safetensors ./free_photos -o smaller.safetensors

Between the two convolutions of a residual block, a channel whose ReLU never passes anything
contributes nothing.  Which are silent is found by trying: photographs with every kind of noise,
plain and grey ones, and pictures that no camera makes (values drawn at random, chequers, single
colours).  Their weights on both sides become zeros, so that the function stays as it is, the file
can be compressed, and `fold_norms` drops them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from degradations.noise import Noise
from degradations.noise_kinds import any_noise
from ssl_restore.io import images
from ssl_restore.io.picture import eight_bit_rgb
from ssl_restore.networks.unet import ResidualBlock
from ssl_restore.training import checkpoint

SIDE_PX = 192
STRONGEST = 75 / 255  # deviation of Gaussian noise


def noisy(photographs: Sequence[Path], count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """(1, 3, H, W): of four crops two with noise of any kind, one with Gaussian, one clean."""
    draws = np.random.default_rng(0)
    kinds = any_noise(), any_noise(), Noise(gain=(0.0, 0.04), sigma=(0.0, STRONGEST))
    for number in range(count):
        path = photographs[int(draws.integers(len(photographs)))]
        pixels = eight_bit_rgb(images.read(path).pixels)
        top, left = (draws.integers(max(1, side - SIDE_PX)) for side in pixels.shape[:2])
        image = images.to_tensor(pixels[top : top + SIDE_PX, left : left + SIDE_PX])
        if number % 8 == 7:
            image = image.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
        if number % 4 < 3:
            kind: Any = kinds[number % 4]
            image = kind.apply(image, kind.sample(image.shape, generator))
        yield image


def unnatural(generator: torch.Generator) -> Iterator[Tensor]:
    """(1, 3, 128, 128): what no camera makes."""
    shape = (1, 3, 128, 128)
    at = torch.arange(128)
    for value in (0.0, 0.5, 1.0):
        yield torch.full(shape, value)
    for _ in range(3):
        yield torch.rand(shape, generator=generator)
        yield (torch.rand(shape, generator=generator) > 0.5).float()
        yield (torch.rand(1, 1, 128, 128, generator=generator) > 0.5).float().expand(shape)
    for size in (1, 8):
        yield ((at[:, None] // size + at // size) % 2).float().expand(shape)
    for colour in torch.eye(3):
        yield colour.view(1, 3, 1, 1).expand(shape)
        yield 1 - colour.view(1, 3, 1, 1).expand(shape)


@torch.inference_mode()
def awake(restorer: Any, pictures: Iterator[Tensor]) -> dict[str, Tensor]:
    """Of each residual block (channels,) of bool: whether anything passed the second ReLU."""
    found: dict[str, Tensor] = {}

    def look(module: nn.Module, given: Any, output: Tensor, *, name: str) -> None:
        passes = output.amax(dim=(0, 2, 3)) > 0
        found[name] = found[name] | passes if name in found else passes

    hooks = [
        part.norm2.register_forward_hook(partial(look, name=name))
        for name, part in restorer.named_modules()
        if isinstance(part, ResidualBlock)
    ]
    for image in pictures:
        height, width = (side // restorer.stride * restorer.stride for side in image.shape[2:])
        restorer(image[..., :height, :width].contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    return found


@torch.no_grad()
def silence(restorer: nn.Module, found: dict[str, Tensor]) -> None:
    """Zeros around the channels that are not awake."""
    for name, passes in found.items():
        block = restorer.get_submodule(name)
        assert isinstance(block, ResidualBlock)
        block.conv1.weight[~passes] = 0
        block.conv2.weight[:, ~passes] = 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=240)
    given = parser.parse_args(arguments)
    restorer, header = checkpoint.load(given.source)
    generator = torch.Generator().manual_seed(0)
    found = awake(restorer, noisy(images.find(given.photographs), given.pictures, generator))
    strange = awake(restorer, unnatural(generator))
    found = {name: passes | strange[name] for name, passes in found.items()}
    silence(restorer, found)
    checkpoint.save(given.output, restorer, header)
    for name, passes in found.items():
        print(f"{name:24} {int(passes.sum()):4} of {len(passes)} awake")


if __name__ == "__main__":
    main()
