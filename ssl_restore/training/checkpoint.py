"""Restorers on disk: one safetensors file with a JSON header.  Loading executes no code from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import nn

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.io.files import replacing

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
        # Through memory: a full disk is an OSError then, not an error of the library's own.
        temporary.write_bytes(serialised(weights, {_KEY: json.dumps(asdict(header))}))


def read_header(path: Path) -> Header:
    """The header alone, without the weights."""
    return _open(path)[0]


def load(path: Path) -> tuple[nn.Module, Header]:
    """A restorer in evaluation mode on the CPU, float32, and its header."""
    header, weights = _open(path)
    if header.network not in discover.names("networks"):  # nothing else is ever imported
        raise UserError(
            f"{path}: holds a network {header.network!r}, which this version does not have; "
            "install the ssl-restore that wrote it"
        )
    try:
        restorer: nn.Module = discover.builder("networks", header.network)(**header.keywords)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path}: damaged; network {header.network} cannot be built from {header.keywords}"
        ) from error
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
        fields = json.loads(metadata[_KEY])
        if fields["format"] != FORMAT:  # before the fields, which another format may change
            raise UserError(
                f"{path}: checkpoint format {fields['format']}, this version reads {FORMAT}; "
                "install the ssl-restore that wrote it"
            )
        fields["keywords"] = {name: _tuples(value) for name, value in fields["keywords"].items()}
        return Header(**fields), weights
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a checkpoint of ssl-restore (no header)") from error


def _tuples(value: object) -> object:
    """JSON knows only lists; keywords of networks are tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
