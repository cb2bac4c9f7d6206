"""Recipes that start from a checkpoint in place of random weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_restore import weights
from ssl_restore.errors import UserError
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.mixture import Mixture
from ssl_restore.io import images as files
from ssl_restore.networks.gate import looked_at
from ssl_restore.training import checkpoint
from ssl_restore.types import Recipe

LOOKED_AT = 12  # pictures of a folder


def start_from(recipe: Recipe, path: Path) -> Recipe:
    """The recipe with the weights of a checkpoint in its restorer (a warm start), and its anchor.

    The statistics of its norms rest from then on. They were taken from more kinds of pictures than
    a folder has; learned anew, they made it up to 2 dB worse, on other rain far more.

    Raises:
        UserError: For weights of another task, or of a network that the recipe cannot start from.
    """
    trained, header = checkpoint.load(path, task=recipe.task)
    for form in (recipe, *recipe.forms):
        if fits(header, form):
            for net in (form.restorer, form.ema):
                net.load_state_dict(grown(trained.state_dict(), net))
            if form.anchor is not None:
                form.anchor.load_state_dict(grown(trained.core.state_dict(), form.anchor))
            for player in form.players:
                for group in player.optimizer.param_groups:
                    group["lr"] *= form.warm_rate
            coarse = header.coarse_from if form.keeps_scales else form.coarse_from
            return replace(form, frozen_batchnorm=True, coarse_from=coarse)
    raise UserError(
        f"{path}: holds network {header.network} {header.keywords}, the recipe wants "
        f"{recipe.network} {recipe.keywords}; change its settings, or start from scratch"
    )


def fits(header: checkpoint.Header, recipe: Recipe) -> bool:
    """Whether a recipe can start from these weights: they may lack what its network has besides."""
    told = {name: recipe.keywords.get(name) for name in header.keywords}
    return (header.network, header.keywords) == (recipe.network, told)


def grown(weights: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Weights with zeros where the network has more inputs or outputs: its function is the same."""
    state = {}
    for name, own in net.state_dict().items():
        state[name] = torch.zeros_like(own)
        state[name][tuple(slice(size) for size in weights[name].shape)] = weights[name]
    return state


def default_start(
    recipe: Recipe, images: Path | None = None, *, recursive: bool = False
) -> str | None:
    """The built-in restorer of the recipe's task, where it is of a network that it can start from:
    of several the one that suits most pictures of a folder, in sub-folders too where `recursive`.

    Those of other tasks do not count: what they have learned is another thing.
    """
    path = weights.built_in(recipe.task)
    if not path.is_file():
        return None
    header = checkpoint.read_header(path)
    if not any(fits(header, form) for form in (recipe, *recipe.forms)):
        return None
    other = weights.expert(recipe.task)
    if images is not None and images.is_dir() and other.is_file():
        path = other if _suits(recipe.task, images, recursive) else path
    return str(path)


def _suits(task: str, folder: Path, recursive: bool) -> bool:
    """Whether the other expert suits the pictures of a folder, of which a few are looked at."""
    try:
        paths = files.find(folder, recursive=recursive)
    except UserError:  # which is said when they are read
        return False
    mixture, told = load_restorer(None, torch.device("cpu"), task=task), []
    assert isinstance(mixture, Mixture)
    for path in paths[:: math.ceil(len(paths) / LOOKED_AT)]:
        try:
            pixels = files.read(path).pixels
        except UserError:
            continue
        told.append(mixture.look(looked_at(pixels, mixture.looks_at))[1])
    return bool(told) and float(np.median(told)) < 0
