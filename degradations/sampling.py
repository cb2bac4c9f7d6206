"""Batches degraded with parameters drawn for them, on whatever device they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .types import Degradation, map_tensors


def sample_params(degradation: Degradation, image: Tensor, generator: torch.Generator) -> Any:
    """Draw parameters for a batch, one set an image.

    Args:
        degradation: the prior.
        image: (B, C, H, W), of which only the shape and the device count.
        generator: a CPU stream.

    Returns:
        Parameters, on the device of the image.

    Example:
        >>> image = torch.zeros(2, 3, 8, 8)
        >>> sample_params(Sensor(gain=(2, 2)), image, torch.Generator().manual_seed(0)).gain
        tensor([2., 2.])
    """
    batch, channels, height, width = image.shape
    params = degradation.sample((batch, channels, height, width), generator)
    return map_tensors(params, lambda t: t.to(image.device))


def degrade(image: Tensor, degradation: Degradation, generator: torch.Generator) -> Tensor:
    """Draw parameters for a batch and apply them.

    Args:
        image: (B, C, H, W), display values.
        degradation: the prior.
        generator: a CPU stream.

    Returns:
        The degraded batch, on the device of the image.

    Example:
        >>> image = torch.full((1, 1, 1, 2), 0.2)
        >>> degrade(image, Sensor(gain=(2, 2)), torch.Generator().manual_seed(0))
        tensor([[[[0.4000, 0.4000]]]])
    """
    return degradation.apply(image, sample_params(degradation, image, generator))


def degrade_share(
    share: float, image: Tensor, degradation: Degradation, generator: torch.Generator
) -> Tensor:
    """Degrade a random share of the images of a batch.

    Args:
        share: chance of each image, from 0 to 1.
        image: (B, C, H, W), display values.
        degradation: the prior.
        generator: a CPU stream, which first draws the images, then their parameters.

    Returns:
        The batch (B, C, H, W) with those images degraded.

    Example:
        >>> image = torch.full((4, 1, 1, 1), 0.2)
        >>> stream = torch.Generator().manual_seed(0)
        >>> degrade_share(0.5, image, Sensor(gain=(2, 2)), stream).flatten()
        tensor([0.4000, 0.2000, 0.4000, 0.4000])
    """
    chosen = torch.rand(len(image), generator=generator) < share
    return degrade_chosen(chosen, (image,), degradation, generator)[0]


def degrade_chosen(
    chosen: Tensor,
    images: tuple[Tensor, ...],
    degradation: Degradation,
    generator: torch.Generator,
) -> tuple[Tensor, ...]:
    """Degrade the chosen images of several batches, with the same parameters in all of them.

    Args:
        chosen: (B,) bool.
        images: batches (B, C, H, W) of one shape, such as rainy and clean ones.
        degradation: the prior; one that keeps the size.
        generator: a CPU stream, of which nothing is used where no image is chosen.

    Returns:
        The batches with those images degraded.

    Example:
        >>> rainy, clean = torch.full((2, 1, 1, 1), 0.4), torch.full((2, 1, 1, 1), 0.2)
        >>> chosen, stream = torch.tensor([True, False]), torch.Generator().manual_seed(0)
        >>> both = degrade_chosen(chosen, (rainy, clean), Sensor(gain=(2, 2)), stream)
        >>> torch.stack(both).flatten(1)
        tensor([[0.8000, 0.4000],
                [0.4000, 0.2000]])
    """
    where = chosen.nonzero()[:, 0].to(images[0].device)
    if not len(where):
        return images
    params = sample_params(degradation, images[0][where], generator)
    return tuple(
        image.index_copy(0, where, degradation.apply(image[where], params)) for image in images
    )
