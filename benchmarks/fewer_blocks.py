"""A denoiser with fewer residual blocks, from one with more: a start for a faster restorer.

    python benchmarks/fewer_blocks.py denoise.safetensors 1,1,2 -o smaller.safetensors

Of every level the first blocks stay. A residual block adds to what it gets, so that without it the
rest still does nearly what it did, and is learned on quickly.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl_restore.networks import denoiser
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
    restorer = denoiser.build(**keywords)
    own = before.state_dict()
    checkpoint.load_weights(
        restorer, {name: own[name] for name in restorer.state_dict()}, given.source
    )
    checkpoint.save(given.output, restorer, replace(header, keywords=keywords))


if __name__ == "__main__":
    main()
