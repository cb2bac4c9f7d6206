"""Layers of pictures as files: a solver that separates, on one picture or on two mixtures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ssl_restore import rng
from ssl_restore.errors import UserError, WrongCall
from ssl_restore.io import MAX_PIXELS, formats, images
from ssl_restore.io.files import check_writable, same_file
from ssl_restore.io.folders import ResumeFolder, foreign
from ssl_restore.io.jobs import write
from ssl_restore.io.manifest import Identity, Manifest, State, digest, identity
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb, to_whole_numbers

LEAST_SIDE_PX = 8
SHEET_PX, CAPTION_PX = 240, 20  # width of a layer on a sheet, height of its name
Solve = Callable[..., dict[str, Tensor]]


def separate(
    source: Path,
    folder: Path,
    solve: Solve,
    *,
    names: tuple[str, ...],
    seed: int,
    device: torch.device,
    second: Path | None = None,
    hints: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
    resume: ResumeFolder | None = None,
    max_pixels: int = MAX_PIXELS,
    **settings: Any,
) -> list[Path]:
    """Write the layers of a picture into a folder, each as NAME.png; returns where they are.

    A layer is written with the bit depth of the picture, once all are there. `sheet` is a picture
    of all layers that is renewed while they are found.

    Args:
        source: The picture, or the first mixture.
        folder: Where the layers go; it is made.
        solve: A solver that takes `second`, `hints` and `show`.
        names: The layers that it gives for these settings.
        seed: Of all that is random.
        device: Where to compute.
        second: A further mixture of the same layers.
        hints: White where the first layer is known to be seen, black for the second.
        sheet: Where the sheet goes.
        overwrite: Replace layers that exist.
        resume: Keeps a manifest, and may leave a picture out whose layers are there.
        max_pixels: Larger pictures are refused.
        settings: The solver's.

    Raises:
        UserError: Where a file cannot be read, is too small, has another size than the picture, or
            where a result would replace an input.
    """
    targets = {name: folder / f"{name}.png" for name in names}
    inputs = [path for path in (source, second, hints) if path is not None]
    skip = resume is not None and resume.skip
    _check_targets(
        [*targets.values(), *([sheet] if sheet else [])], inputs, folder, overwrite or skip
    )
    book, origin = _manifest(resume, folder, inputs)
    if skip and book is not None and not _to_do(book, origin, list(targets.values()), overwrite):
        return list(targets.values())
    picture = images.read(source, max_pixels=max_pixels)
    height, width = picture.pixels.shape[:2]
    if min(height, width) < LEAST_SIDE_PX:
        raise UserError(
            f"{source}: {width} x {height} is too small to separate; give at least "
            f"{LEAST_SIDE_PX} x {LEAST_SIDE_PX}"
        )
    tensors = {
        name: images.to_tensor(_read_same_size(path, picture, source, max_pixels)).to(device)
        for name, path in (("second", second), ("hints", hints))
        if path is not None
    }
    if "hints" in tensors:
        tensors["hints"] = tensors["hints"].mean(dim=1, keepdim=True)
    if sheet is not None:
        settings["show"] = lambda layers: write(sheet, Picture(contact_sheet(layers)))
    image = images.to_tensor(picture.pixels).to(device)
    try:
        layers = solve(image, generator=rng.derive(seed, "solve"), **tensors, **settings)
    except UserError as error:
        if error.parameter == "hints" and hints is not None:
            raise UserError(f"{hints}: {error.message}") from error
        if error.parameter is not None:
            raise
        raise UserError(f"{second or source}: {error.message}") from error
    for name, target in targets.items():
        before = nothing if book is None else partial(book.record, target, origin)
        write(target, Picture(_pixels(layers[name], picture), icc=picture.icc), before=before)
    return list(targets.values())


def nothing(temporary: Path) -> None:
    """Where no manifest is kept."""


def _manifest(
    resume: ResumeFolder | None, folder: Path, inputs: list[Path]
) -> tuple[Manifest | None, Identity]:
    """That of the folder, and what identifies the picture; other inputs belong to the settings."""
    if resume is None:
        return None, (0, 0)
    first, *others = inputs
    settings = {**resume.settings(), "others": [digest(path) for path in others]}
    return Manifest(folder, settings), identity(first)


def _to_do(book: Manifest, origin: Identity, targets: list[Path], overwrite: bool) -> bool:
    """Whether a layer is missing or of other settings; UserError for files that nobody knows."""
    states = {target: book.state(target, origin) for target in targets}
    unknown = [target for target, state in states.items() if state is State.FOREIGN]
    if unknown and not overwrite:
        raise foreign(unknown[0], book)
    return set(states.values()) != {State.DONE}


def contact_sheet(layers: Mapping[str, Tensor]) -> Pixels:
    """The layers beside each other under their names, (H, W, 3) uint8."""
    columns = []
    for name, layer in layers.items():
        pixels = eight_bit_rgb(_pixels(layer, Picture(np.zeros((1, 1, 3), np.uint8))))
        height = max(1, round(SHEET_PX * pixels.shape[0] / pixels.shape[1]))
        shown = cv2.resize(pixels, (SHEET_PX, height), interpolation=cv2.INTER_AREA)
        bar = np.full((CAPTION_PX, SHEET_PX, 3), 255, np.uint8)
        cv2.putText(bar, name, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)
        columns.append(np.vstack([bar, shown]))
    return np.hstack(columns)


def _pixels(layer: Tensor, like: Picture) -> Pixels:
    """A layer (1, 1 or 3, H, W) of as many channels as it has, with the bit depth of a picture."""
    values = layer.detach().float().cpu()
    channels = values.shape[1]
    kind = to_whole_numbers(like.pixels[:1, :1]).dtype
    depth = np.zeros((*values.shape[2:], channels), kind)
    return images.to_pixels(values.expand(1, 3, -1, -1), depth)


def _read_same_size(path: Path, picture: Picture, source: Path, max_pixels: int) -> Pixels:
    pixels = images.read(path, max_pixels=max_pixels).pixels
    (height, width), (rows, columns) = pixels.shape[:2], picture.pixels.shape[:2]
    if (height, width) != (rows, columns):
        raise UserError(
            f"{path}: {width} x {height}, but {source} is {columns} x {rows}; give one of that size"
        )
    return pixels


def _check_targets(targets: list[Path], inputs: list[Path], folder: Path, overwrite: bool) -> None:
    for target in targets:
        if target.suffix.lower() not in formats.WRITTEN:
            raise WrongCall(f"{target}: unknown suffix {target.suffix!r}; name a .png")
    for path in inputs:
        if not path.exists():
            raise UserError(f"{path}: no such file; check the spelling")
    for target in targets:
        check_writable(target.parent)
        if any(same_file(target, path) for path in inputs):
            raise UserError(f"{target}: is one of the inputs; give another folder")
    if len({target.absolute() for target in targets}) < len(targets):
        raise UserError(f"{targets[-1]}: is one of the layers; give the sheet another name")
    existing = [target for target in targets if os.path.lexists(target)]
    if existing and not overwrite:
        raise UserError(
            f"{existing[0]}: exists; `overwrite` replaces it, or give another folder than {folder}"
        )
