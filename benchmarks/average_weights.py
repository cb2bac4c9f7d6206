"""The weights of two checkpoints of one network, averaged: what was learned on, and its start.

    python benchmarks/average_weights.py start.safetensors learned.safetensors -o mean.safetensors

w = (1 - s) start + s learned. What was learned on for other kinds of pictures forgets less of those
that the start knew, and often is better at both. A start that lacks inputs or outputs counts as one
with zeros there.
Reference: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.training import checkpoint
from ssl_restore.training.kept import mean_of
from ssl_restore.training.warm_start import grown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("start", type=Path)
    parser.add_argument("learned", type=Path, help="Its header is kept.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.7, help="Of what was learned.")
    parser.add_argument(
        "--coarse-from", type=int, help="In its header, as of a restorer; 0: its own size alone."
    )
    given = parser.parse_args(arguments)
    before, first = checkpoint.load(given.start)
    restorer, header = checkpoint.load(given.learned)
    known = {name: header.keywords.get(name) for name in first.keywords}
    if (first.network, first.keywords) != (header.network, known):
        raise UserError(f"{given.start}: is of another network than {given.learned}")
    mean = mean_of(grown(before.state_dict(), restorer), restorer, given.share)
    if given.coarse_from is not None:
        header = replace(header, coarse_from=given.coarse_from or None)
    checkpoint.save(given.output, mean, header)


if __name__ == "__main__":
    main()
