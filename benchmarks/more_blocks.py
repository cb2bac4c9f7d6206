"""A derainer with more residual blocks or levels, from one with fewer: a start for a larger one.

    python benchmarks/more_blocks.py derain.safetensors 2,2,4,2 -o larger.safetensors

What is new adds nothing before training, so that the larger restorer gives what the other gave.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ssl_restore.networks import unet
from ssl_restore.training import checkpoint


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("blocks", help="Of every level, finest first.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    before, header = checkpoint.load(given.source)
    keywords: dict[str, Any] = {
        **header.keywords,
        "blocks": tuple(int(n) for n in given.blocks.split(",")),
    }
    torch.manual_seed(0)
    restorer = unet.build(**keywords)
    own = restorer.state_dict()
    for name, value in own.items():
        if name.startswith("decoder.ups.") and name not in before.state_dict():
            own[name] = torch.zeros_like(value)  # a new level
    own |= before.state_dict()
    checkpoint.load_weights(restorer, own, given.source)
    checkpoint.save(given.output, restorer, replace(header, keywords=keywords))


if __name__ == "__main__":
    main()
