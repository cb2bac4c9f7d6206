"""How far a run is: by steps, or by the clock where that is ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator


def pace(
    steps: int, seconds: float | None, progress: Callable[[float], None] = lambda share: None
) -> Iterator[tuple[int, float]]:
    """(step, share of the run done) from (0, 0.0) until `steps` or `seconds` are over.

    At least one step is made; `progress(share)` is called before each, and with 1 at the end.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    begun = time.monotonic()
    for step in range(steps):
        share = step / steps
        if seconds is not None:
            share = max(share, (time.monotonic() - begun) / seconds if step else 0.0)
        if share >= 1:
            break
        progress(share)
        yield step, share
    progress(1.0)
