"""The weights of two checkpoints of one network, averaged: what was learned on, and its start.

    python benchmarks/average_weights.py start.safetensors learned.safetensors -o mean.safetensors

w = (1 - s) start + s learned. What was learned on for other kinds of pictures forgets less of those
that the start knew, and often is better at both. Reference: Wortsman et al., "Robust fine-tuning of
zero-shot models", CVPR 2022.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.training import checkpoint


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("start", type=Path)
    parser.add_argument("learned", type=Path, help="Its header is kept.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.7, help="Of what was learned.")
    given = parser.parse_args(arguments)
    before, first = checkpoint.load(given.start)
    restorer, header = checkpoint.load(given.learned)
    if (first.network, first.keywords) != (header.network, header.keywords):
        raise UserError(f"{given.start}: is of another network than {given.learned}")
    own = before.state_dict()
    mean = {
        name: own[name].lerp(learned, given.share) if learned.is_floating_point() else learned
        for name, learned in restorer.state_dict().items()
    }
    checkpoint.load_weights(restorer, mean, given.start)
    checkpoint.save(given.output, restorer, header)


if __name__ == "__main__":
    main()
