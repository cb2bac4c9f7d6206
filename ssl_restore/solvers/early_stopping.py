"""When to stop a network that would draw the noise as well: held-out pixels tell, without a truth.

    mean <- mean + a (f(z) - mean),   error = |H(mean) - y|^2 over pixels that nothing learns from

Noise that is independent from pixel to pixel adds the same to this error at every step, so that it
is least where the average is nearest to the clean picture. References: Li et al., "Self-validation:
early stopping for single-instance deep generative priors", BMVC 2021; Batson and Royer,
"Noise2Self", ICML 2019, proposition 1 (why such an error counts).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

HELD_OUT = 1000  # pixels
MOST_HELD_OUT = 0.03  # share of the known pixels
LEAST_KNOWN = 1024  # pixels; a smaller picture holds none out and ends with its steps


class LeastError:
    """The exponential average of outputs whose error is least.

    Args:
        error: Of an average, on pixels that nothing learns from.
        memory: Steps that the average reaches back, at first a fourth of all.
        patience: Steps after the least error.
    """

    def __init__(self, error: Callable[[Tensor], float], memory: float, patience: float) -> None:
        self.error, self.rate, self.patience = error, 1 / memory, patience
        self.mean: Tensor | None = None
        self.best: Tensor | None = None
        self.least = float("inf")
        self.count = self.since = 0

    def over(self, output: Tensor) -> bool:
        """Takes the next output in; True when the least error is `patience` steps ago."""
        rate = max(self.rate, 4 / (4 + self.count))  # at first over the last fourth of the outputs
        self.mean = output.clone() if self.mean is None else self.mean.lerp_(output, rate)
        self.count += 1
        error = self.error(self.mean)
        self.since += 1
        if error < self.least or self.best is None:
            self.least, self.since = error, 0
            self.best = self.mean.clone()
        return self.since > self.patience


def held_out(known: Tensor, generator: torch.Generator) -> Tensor:
    """(1, 1 or 3, H, W) booleans -> (1, 1, H, W), those of all channels that are put aside."""
    whole = known.all(dim=1, keepdim=True)
    count = int(whole.sum())
    share = min(MOST_HELD_OUT, HELD_OUT / max(1, count)) if count >= LEAST_KNOWN else 0.0
    return whole & (torch.rand(whole.shape, generator=generator) < share).to(whole.device)
