"""A restorer with more or fewer residual blocks, from another: a start for what learns on.

    python benchmarks/other_blocks.py derain.safetensors 2,2,4,2 -o larger.safetensors
    python benchmarks/other_blocks.py denoise.safetensors 1,1,2 -o smaller.safetensors

Of every level the first blocks stay. What is new, levels too, adds nothing before training. A
residual block adds to what it gets, so that without it the rest still does nearly what it did.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ssl_restore import discover
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
    restorer = discover.builder("networks", header.network)(**keywords)
    known, weights = before.state_dict(), restorer.state_dict()
    for name, drawn in weights.items():
        new_level = name.startswith("decoder.ups.")
        weights[name] = known.get(name, torch.zeros_like(drawn) if new_level else drawn)
    checkpoint.load_weights(restorer, weights, given.source)
    checkpoint.save(given.output, restorer, replace(header, keywords=keywords))


if __name__ == "__main__":
    main()
