"""Restorers on disk: one safetensors file with a JSON header.  Loading executes no code from it."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .errors import UserError
from .files import replacing

FORMAT = 1
_KEY = "ssl_restore"


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself."""

    network: str
    keywords: dict[str, object]
    recipe: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    step: int = 0
    seed: int = 0
    data: dict[str, str] = field(default_factory=dict)  # fingerprint of each folder
    format: int = FORMAT


def save(path: Path, restorer: nn.Module, header: Header) -> None:
    """Write a restorer; matrices in half precision, vectors and statistics in full."""
    weights = {
        name: value.detach()
        .cpu()
        .to(torch.float16 if value.dim() > 1 else value.dtype)
        .contiguous()
        for name, value in restorer.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(weights, temporary, metadata={_KEY: json.dumps(asdict(header))})


def read_header(path: Path) -> Header:
    """The header alone, without the weights."""
    return _open(path)[0]


def load(path: Path) -> tuple[nn.Module, Header]:
    """A restorer in evaluation mode on the CPU, float32, and its header."""
    header, weights = _open(path)
    module = importlib.import_module(f"ssl_restore.networks.{header.network}")
    restorer: nn.Module = module.build(**header.keywords)
    load_weights(restorer, weights, path)
    return restorer.eval(), header


def load_weights(restorer: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Copy weights into a network; ones of another network are refused."""
    own = {name: tuple(value.shape) for name, value in restorer.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in weights.items()}
    if own != theirs:
        raise UserError(
            f"{path}: these are the weights of another network; give the settings it was made "
            "with, or start anew with --from-scratch"
        )
    restorer.load_state_dict(weights)


def _open(path: Path) -> tuple[Header, dict[str, torch.Tensor]]:
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a restorer.safetensors that `fit` wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a safetensors file, or damaged; fit it again") from error
    try:
        header = Header(**json.loads(metadata[_KEY]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a checkpoint of ssl-restore (no header)") from error
    if header.format != FORMAT:
        raise UserError(
            f"{path}: checkpoint format {header.format}, this version reads {FORMAT}; "
            "install the ssl-restore that wrote it"
        )
    return header, weights
