"""A restorer on whatever holds an image: a path, a Picture, an array, a tensor, a Pillow image."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_restore.errors import UserError
from ssl_restore.inference.fine_to_coarse import restore_pixels, restore_values
from ssl_restore.inference.tiles import check_tile
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels, as_picture
from ssl_restore.restorer import Restorer

_KINDS = "a path, a Picture, an array, a tensor or a Pillow image"
_FAR = 0.5  # beyond black or white, from which values are not meant for [0, 1]


def restore_image(
    restorer: Restorer,
    image: Any,
    *,
    scale: int | None = 1,
    tile: int | None = None,
    precision: str = "auto",
    for_pixels: Callable[[Pixels], Restorer] | None = None,
) -> Any:
    """Restore an image of any kind; returns the same kind, a Picture for a path.

    `scale` is that of `fine_to_coarse`; `for_pixels` gives the restorer of a picture of whole
    numbers, if that is another.

    Raises:
        UserError: For a kind, type, range or shape that is no image: what was expected, what came.
    """
    check_tile(tile, restorer.stride)

    def pixels(given: Pixels) -> Pixels:
        own = restorer if for_pixels is None else for_pixels(given)
        return restore_pixels(own, given, scale=scale, tile=tile, precision=precision)

    def values(given: Tensor) -> Tensor:
        device = next(restorer.parameters()).device
        on_device = given.to(device)
        restored = restore_values(restorer, on_device, scale=scale, tile=tile, precision=precision)
        return restored.to(given)

    if isinstance(image, (str, Path)):
        image = images.read(image)
    if isinstance(image, Picture):
        return image.restored(pixels(image.pixels))
    if isinstance(image, np.ndarray):
        return _array(image, pixels, values)
    if isinstance(image, Tensor):
        return _tensor(image, values)
    if isinstance(image, Image.Image):
        return _pillow(image, pixels)
    raise _wrong(f"{_KINDS} is expected, got {type(image).__name__}")


def _wrong(message: str) -> UserError:
    return UserError(message, parameter="image")


def _array(
    array: np.ndarray, pixels: Callable[[Pixels], Pixels], values: Callable[[Tensor], Tensor]
) -> np.ndarray:
    whole = array[:, :, None] if array.ndim == 2 else array
    if whole.ndim != 3 or whole.shape[2] not in (1, 3) or not whole.size:
        raise _wrong(
            f"an array (H, W), (H, W, 1) or (H, W, 3) is expected, got {array.shape}; "
            "restore pictures one at a time, and keep an alpha channel by itself"
        )
    if array.dtype in (np.uint8, np.uint16):
        return _like(pixels(np.ascontiguousarray(whole)), array)
    if not np.issubdtype(array.dtype, np.floating):
        raise _wrong(
            f"uint8, uint16 or floating-point values in [0, 1] are expected, got {array.dtype}; "
            "convert the array first"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(whole, np.float32)).permute(2, 0, 1)[None]
    _check_range(tensor)
    result = values(tensor.expand(1, 3, -1, -1).contiguous())
    if whole.shape[2] == 1:
        result = result.mean(dim=1, keepdim=True)
    return _like(result[0].permute(1, 2, 0).numpy().astype(array.dtype), array)


def _like(result: np.ndarray, given: np.ndarray) -> np.ndarray:
    return result[:, :, 0] if given.ndim == 2 else result


def _tensor(tensor: Tensor, values: Callable[[Tensor], Tensor]) -> Tensor:
    batch = tensor if tensor.ndim == 4 else tensor[None]
    if tensor.ndim not in (3, 4) or batch.shape[1] not in (1, 3) or not tensor.numel():
        raise _wrong(
            "a tensor (C, H, W) or (B, C, H, W) with 1 or 3 channels is expected, "
            f"got {tuple(tensor.shape)}"
        )
    if not tensor.is_floating_point():
        raise _wrong(
            f"a floating-point tensor of values in [0, 1] is expected, got {tensor.dtype}; "
            "divide 8-bit values by 255"
        )
    if tensor.is_meta:
        raise _wrong("a tensor on the meta device has no values; give one on the CPU or CUDA")
    _check_range(tensor)
    results = [
        values(one.detach().float().expand(1, 3, -1, -1).contiguous()) for one in batch.split(1)
    ]
    result = torch.cat(results).to(tensor)
    if batch.shape[1] == 1:
        result = result.mean(dim=1, keepdim=True)
    return result if tensor.ndim == 4 else result[0]


def _check_range(values: Tensor) -> None:
    low, high = (float(value) for value in values.detach().aminmax())
    if math.isnan(low) or math.isnan(high):
        raise _wrong("values in [0, 1] are expected, got NaN; mend the image first")
    if not (low >= -_FAR and high <= 1 + _FAR):
        raise _wrong(
            f"values in [0, 1] are expected, got {low:.4g} to {high:.4g}; divide 8-bit values by "
            "255, 16-bit ones by 65535"
        )


def _pillow(image: Image.Image, pixels: Callable[[Pixels], Pixels]) -> Image.Image:
    picture = as_picture(image)
    restored = picture.restored(pixels(np.ascontiguousarray(picture.pixels)))
    result = restored.pixels
    if restored.alpha is not None:
        result = np.concatenate([result, restored.alpha[:, :, None]], axis=2)
    return Image.fromarray(result[:, :, 0] if result.shape[2] == 1 else result)
