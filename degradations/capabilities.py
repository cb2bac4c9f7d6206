"""What some degradations can do beside `sample` and `apply`, with defaults for those that cannot.

A degradation may have any of these methods; the function of the same name calls it, or does what is
right without it. So callers ask no degradation for its type.

    for_picture(height, width, generator) -> prior       the prior of one picture
    at_frame(params, number, shape, *, fps, generator)   the parameters some frames later
    check_fps(fps)                                       ValueError for what does not fit a frame
    darkened(params, light) -> params                    the same in a scene with less light
    without_streaks(params) -> params                    the same without any streak of rain
    affine_veil(params, image) -> (t, light)             see `veil.veil`
    render(image, params) -> (image, streaks)            `apply` in bands, and the layer of streaks
    describe(params, height, width) -> dict              numbers for a log
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .description import described
from .types import Degradation, Shape


def for_picture(
    degradation: Degradation, height: int, width: int, generator: torch.Generator
) -> Degradation:
    """The prior of one picture: ranges that grow with its size, in its pixels.

    What the parameters would not tell (the weather and the camera of `Rainfall`) is drawn here, so
    that `describe` can tell it; the default is the prior as it is.

    Args:
        degradation: any prior.
        height: of the picture, px.
        width: of the picture, px.
        generator: stream of the draws; not used by priors without the method.

    Returns:
        A prior for pictures of this size.

    Example:
        >>> stream = torch.Generator().manual_seed(0)
        >>> for_picture(Weather(focal_sides=(0.5, 0.5)), 30, 40, stream).focal_px
        (20.0, 20.0)
        >>> for_picture(Haze(), 30, 40, stream) == Haze()
        True
    """
    method = getattr(degradation, "for_picture", None)
    return degradation if method is None else method(height, width, generator)


def at_frame(
    degradation: Degradation,
    params: Any,
    number: int,
    shape: Shape,
    *,
    fps: float | None,
    generator: torch.Generator,
) -> Any:
    """The parameters in frame `number` of a shot, counted from 1.

    Rain falls on; noise keeps its level and draws its grain anew; by default nothing changes.

    Args:
        degradation: the prior that drew the parameters.
        params: its parameters for the shot, as in frame 1.
        number: of the frame, from 1.
        shape: (B, C, H, W) of the frames.
        fps: frames a second; None where time is not known.
        generator: stream of this frame.

    Returns:
        Parameters of the same kind.

    Example:
        >>> stream = torch.Generator().manual_seed(0)
        >>> rain = Rain(rain_free=0)
        >>> first = rain.sample((1, 3, 20, 20), stream)
        >>> later = at_frame(rain, first, 2, (1, 3, 20, 20), fps=25, generator=stream)
        >>> torch.equal(first.y_px, later.y_px), torch.equal(first.length_px, later.length_px)
        (False, True)
    """
    method = getattr(degradation, "at_frame", None)
    if method is None:
        return params
    return method(params, number, shape, fps=fps, generator=generator)


def check_fps(degradation: Degradation, fps: float) -> None:
    """ValueError where the degradation does not fit into the time between two frames.

    Args:
        degradation: any prior.
        fps: frames a second.

    Raises:
        ValueError: for an exposure that is longer than 1 / fps.

    Example:
        >>> check_fps(Rainfall(exposure_s=(0.01, 0.1)), 25)
        Traceback (most recent call last):
        ValueError: exposure_s: 0.1 s do not fit into 25 frames a second; lower exposure_s or fps
    """
    method = getattr(degradation, "check_fps", None)
    if method is not None:
        method(fps)


def darkened(degradation: Degradation, params: Any, light: Tensor) -> Any:
    """The parameters in a scene with the share `light` of its light (linear light).

    Haze shows that much less airlight; by default nothing changes.

    Args:
        degradation: the prior that drew the parameters.
        params: its parameters.
        light: (B,) share of the light that is left.

    Returns:
        Parameters of the same kind.

    Example:
        >>> haze = HazeParams(torch.ones(1, 1, 1, 1), torch.ones(1), airlight=torch.ones(1, 3))
        >>> darkened(Haze(), haze, torch.tensor([0.2])).airlight
        tensor([[0.4845, 0.4845, 0.4845]])
    """
    method = getattr(degradation, "darkened", None)
    return params if method is None else method(params, light)


def without_streaks(degradation: Degradation, params: Any) -> Any:
    """The parameters with no streak of rain present: what is left of the rain is its veil.

    Args:
        degradation: the prior that drew the parameters.
        params: its parameters.

    Returns:
        Parameters of the same kind; the given ones where there are no streaks.

    Example:
        >>> rain = Rain(rain_free=0)
        >>> params = rain.sample((1, 3, 20, 20), torch.Generator().manual_seed(0))
        >>> without_streaks(rain, params).present.any()
        tensor(False)
    """
    method = getattr(degradation, "without_streaks", None)
    return params if method is None else method(params)


def render(degradation: Degradation, image: Tensor, params: Any) -> tuple[Tensor, Tensor | None]:
    """The degraded image, and the layer of its streaks where it is rain.

    Rain is rendered band by band, to the accuracy of float32 what `apply` makes at once: 12 Mpixel
    of dense rain would fill 10 GB.

    Args:
        degradation: the prior that drew the parameters.
        image: (1, C, H, W) where the degradation is rain, else (B, C, H, W).
        params: its parameters.

    Returns:
        The image, in the space of `apply` and not clamped, and the layer (1, 1, H, W), or None: R
        of `streaks` (light added, display units), of `Rainfall` the opacity of its streaks.

    Example:
        >>> image = torch.full((1, 3, 4, 4), 0.5)
        >>> rain = Rain(rain_free=1)
        >>> params = rain.sample((1, 3, 4, 4), torch.Generator().manual_seed(0))
        >>> rainy, streaks = render(rain, image, params)
        >>> torch.equal(rainy, image), streaks.sum()
        (True, tensor(0.))
    """
    method = getattr(degradation, "render", None)
    return (degradation.apply(image, params), None) if method is None else method(image, params)


def describe(degradation: Degradation, params: Any, height: int, width: int) -> dict[str, Any]:
    """The parameters of one picture in numbers, as JSON has them.

    Args:
        degradation: the prior that drew the parameters.
        params: its parameters for a single picture.
        height: of the picture, px.
        width: of the picture, px.

    Returns:
        Every parameter by name: a number, a list, of maps their mean and range. Of rain the means
        over its streaks.

    Example:
        >>> describe(Jpeg(), JpegParams(quality=torch.tensor([75.0])), 8, 8)
        {'subsampled': True, 'quality': 75.0}
    """
    method = getattr(degradation, "describe", None)
    return described(params) if method is None else method(params, height, width)
