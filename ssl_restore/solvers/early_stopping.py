"""When to stop a network that would draw the noise as well, told without a truth.

    mean <- mean + a (f(z) - mean),   error = |H(mean) - y|^2 over pixels that nothing learns from

or, where no pixel can be spared, the running variance of the outputs, which falls while the picture
is found and rises as noise is learned. Noise that is independent from pixel to pixel adds the same
to the error at every step, so that it is least where the average is nearest to the clean picture.

References: Li et al., "Self-validation:
early stopping for single-instance deep generative priors", BMVC 2021; Batson and Royer,
"Noise2Self", ICML 2019, proposition 1 (why such an error counts); Wang et al., "Early stopping for
deep image prior", TMLR 2023 (variance).
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


class LeastVariance:
    """The exponential average of outputs where their exponential variance is least.

    mean <- mean + a (x - mean),   variance <- (1 - a) (variance + a |x - mean|^2)
    """

    def __init__(self, memory: float, patience: float) -> None:
        self.rate = 1 / memory
        self.patience = patience  # steps after the minimum
        self.mean: Tensor | None = None
        self.best: Tensor | None = None
        self.variance, self.least = 0.0, float("inf")
        self.count = self.since = 0

    def over(self, output: Tensor) -> bool:
        """Takes the next output in; True when the minimum is `patience` steps ago."""
        if self.mean is None:
            self.mean = output.clone()
        away = output - self.mean
        self.mean += self.rate * away
        self.variance = (1 - self.rate) * (self.variance + self.rate * float(away.square().mean()))
        self.count, self.since = self.count + 1, self.since + 1
        if self.count * self.rate < 2:  # the variance of the first outputs is not yet one
            self.best = self.mean.clone()
        elif self.variance < self.least:
            self.least, self.since = self.variance, 0
            self.best = self.mean.clone()
        return self.count * self.rate >= 2 and self.since > self.patience


def held_out(known: Tensor, generator: torch.Generator) -> Tensor:
    """(1, 1 or 3, H, W) booleans -> (1, 1, H, W), those of all channels that are put aside."""
    whole = known.all(dim=1, keepdim=True)
    count = int(whole.sum())
    share = min(MOST_HELD_OUT, HELD_OUT / max(1, count)) if count >= LEAST_KNOWN else 0.0
    return whole & (torch.rand(whole.shape, generator=generator) < share).to(whole.device)
