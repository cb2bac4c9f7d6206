"""Named random streams: every draw has a seed, a purpose and a number, and depends on nothing else.

A result therefore does not depend on the device, on the number of workers or on where a run was
resumed, and no random state has to be saved.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator for draw number `index` of the stream `purpose`."""
    name = f"{seed}/{purpose}/{index}".encode(errors="surrogateescape")  # of a file, in any code
    digest = hashlib.blake2b(name, digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
