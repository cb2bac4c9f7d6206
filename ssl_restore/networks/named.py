"""Small networks whose outputs have names, in files that tell them and what builds the network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ssl_restore.errors import UserError

Net = TypeVar("Net", bound=nn.Module)


def save(
    net: nn.Module, path: Path, *, keywords: dict[str, Any], names: Sequence[str], version: int
) -> None:
    """Weights, and the `keywords` that the network was built with."""
    metadata = {"format": str(version), "keywords": json.dumps(keywords), "names": " ".join(names)}
    save_file(net.state_dict(), path, metadata=metadata)


def load(
    build: Callable[..., Net], path: Path, *, what: str, names: Sequence[str], version: int
) -> Net:
    """What `build` makes of its keywords, with the weights, in evaluation mode; UserError for one
    that is missing, damaged, of another version, or with other outputs."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; install ssl-restore again")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != str(version) or metadata.get("names") != " ".join(names):
            raise UserError(f"{path}: {what} of another version; install ssl-restore again")
        if not all(value.isfinite().all() for value in weights.values()):
            raise ValueError("not finite")
        with torch.random.fork_rng(devices=[]):  # weights are drawn, and replaced below
            net = build(**json.loads(metadata["keywords"]))
        net.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: {what} that is damaged; install ssl-restore again") from error
    return net.eval()
