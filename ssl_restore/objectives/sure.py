"""Stein's unbiased risk estimate (SURE): the error of a restored picture without the clean one.

    |f(y) - J|^2  =  |f(y) - y|^2 - s^2 + 2 s^2 df/dy      in expectation, per pixel

for Gaussian noise of variance s^2; with s^2 = gain max(y, 0) + sigma^2 at each pixel to first order
for Poisson-Gaussian noise. The divergence is probed by one draw b of +1 and -1 a step,
b (f(y + eps b) - f(y)) / eps. The constant -s^2 is left out. References: Stein, "Estimation of the
mean of a multivariate normal distribution", Annals of Statistics 1981; Ramani, Blu and Unser,
"Monte-Carlo SURE", IEEE TIP 2008; Soltanayev and Chun, "Training deep learning based denoisers
without ground truth data", NeurIPS 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_restore.networks.shuffled import split
from ssl_restore.objectives.recorrupted import noise_deviation
from ssl_restore.restorer import Restorer
from ssl_restore.types import Batch

EPS = 1e-3  # step of the probe, display units


class Sure(nn.Module):
    """Terms: `sure`, the estimate plus s^2.  Needs degraded patches only.  Without `gain` and
    `sigma`, the deviation of each patch is told by `diagonal_sigma`."""

    def __init__(self, restorer: Restorer, gain: float, sigma: float, shuffle: int) -> None:
        super().__init__()
        self.restorer = restorer
        self.gain = gain
        self.sigma = sigma
        self.shuffle = shuffle

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.degraded is not None
        noisy = split(batch.degraded, self.shuffle)
        variance = noise_deviation(noisy, self.gain, self.sigma).square()
        probe = (2 * torch.randint(2, noisy.shape, generator=generator) - 1).to(noisy)
        # In full precision, which the difference needs; side by side, for the same statistics.
        with torch.autocast(noisy.device.type, enabled=False):
            restored, moved = self.restorer(torch.cat([noisy, noisy + EPS * probe])).chunk(2)
        divergence = probe * (moved - restored) / EPS
        return {"sure": ((restored - noisy).square() + 2 * variance * divergence).mean()}
