"""Restorers on disk: one safetensors file with a JSON header.  Loading executes no code from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.io.fields import checked, parsed
from ssl_restore.io.files import replacing
from ssl_restore.restorer import Restorer

FORMAT = 2
_KEY = "ssl_restore"
_LEAST_BOUND = 64  # of the whole numbers among keywords
_TASKS = {"unet": "derain", "denoiser": "denoise", "shuffled": "denoise"}  # of format 1


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself."""

    task: str
    network: str
    keywords: dict[str, object]
    recipe: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    step: int = 0
    seed: int = 0
    data: dict[str, str] = field(default_factory=dict)  # fingerprint of each folder
    coarse_from: int | None = None  # as in `Restorer`
    format: int = FORMAT


def save(path: Path, restorer: Restorer, header: Header) -> None:
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


def load(path: Path, *, task: str | None = None) -> tuple[Restorer, Header]:
    """A restorer in evaluation mode on the CPU, float32, and its header.

    UserError that names both tasks for weights of another one than `task`.
    """
    header, weights = _open(path)
    if header.network not in discover.names("networks"):  # nothing else is ever imported
        raise UserError(
            f"{path}: holds a network {header.network!r}, which this version does not have; "
            "install the ssl-restore that wrote it"
        )
    restorer = _built(header, weights, path)
    if task is not None and header.task != task:
        raise UserError(
            f"{path}: weights of the task {header.task}, not of {task}; use them for "
            f"{header.task}, or give weights that were learned for {task}"
        )
    load_weights(restorer, weights, path)
    restorer.task = header.task
    return restorer.eval(), header


def _built(header: Header, weights: dict[str, torch.Tensor], path: Path) -> Restorer:
    """The network of a header, with weights of its own; it takes memory only where those of the
    file fit it."""
    build = discover.builder("networks", header.network)
    bound = max([_LEAST_BOUND, len(weights), *(n for w in weights.values() for n in w.shape)])
    try:
        if any(_largest(value) > bound for value in header.keywords.values()):
            raise ValueError(f"a number above {bound}")
        with torch.device("meta"):
            _check_shapes(build(**header.keywords), weights, path)
        with torch.random.fork_rng(devices=[]):  # weights are drawn, and replaced by the caller
            restorer: Restorer = build(**header.keywords)
    except UserError:
        raise
    except Exception as error:  # whatever a network makes of keywords that it does not expect
        raise UserError(
            f"{path}: damaged; network {header.network} cannot be built from {header.keywords}"
        ) from error
    return restorer


def _largest(value: object) -> float:
    """Of a number its size, of several that of all together, as of blocks."""
    if isinstance(value, (list, tuple)):
        return sum(map(_largest, value)) + len(value)
    return abs(value) if isinstance(value, (int, float)) else 0


def _check_shapes(restorer: Restorer, weights: dict[str, torch.Tensor], path: Path) -> None:
    own = {name: tuple(value.shape) for name, value in restorer.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in weights.items()}
    if own != theirs:
        raise UserError(
            f"{path}: its weights are not those of its network; fit it again, or fetch it again"
        )


def load_weights(restorer: Restorer, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Copy weights into a network; ones of another network are refused."""
    _check_shapes(restorer, weights, path)
    broken = [n for n, value in weights.items() if not value.float().isfinite().all()]
    if broken:
        raise UserError(f"{path}: holds weights that are not finite ({broken[0]}); fit it anew")
    restorer.load_state_dict(weights)


def _open(path: Path) -> tuple[Header, dict[str, torch.Tensor]]:
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {what}; give a restorer.safetensors that fit wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, MemoryError, ValueError) as error:
        raise UserError(f"{path}: not a safetensors file, or damaged; fit it again") from error
    try:
        fields = parsed(metadata[_KEY])
        if fields["format"] == 1:
            fields |= {"task": _TASKS.get(fields["network"], ""), "format": FORMAT}
        if fields["format"] != FORMAT:  # before the fields, which another format may change
            raise UserError(
                f"{path}: checkpoint format {fields['format']}, this version reads {FORMAT}; "
                "install the ssl-restore that wrote it"
            )
        fields["keywords"] = {name: _tuples(value) for name, value in fields["keywords"].items()}
        header = checked(Header, fields)
        if header.coarse_from is not None and header.coarse_from < 1:
            raise ValueError(header.coarse_from)
        return header, weights
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: not a checkpoint of ssl-restore (no header, or a damaged one)"
        ) from error


def _tuples(value: object) -> object:
    """JSON knows only lists; keywords of networks are tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
