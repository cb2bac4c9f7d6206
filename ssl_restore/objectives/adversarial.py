"""Parts of the losses of critics: what a critic lowers, what a restorer is judged by.

Reference: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014 (the loss that does not
saturate); Mescheder, Geiger and Nowozin, "Which training methods for GANs do actually converge?",
ICML 2018, arXiv 1801.04406, eq. 9 (penalty).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ssl_restore.types import Batch


def contest(critic: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, penalty) of a critic, scalars.

        loss = E softplus(-D(real)) + E softplus(D(fake)),     penalty = |grad sum D(real)|^2 / n

    n is the number of scores; where the patches that they judge do not overlap, the penalty is
    the mean squared norm of the gradient of one score.
    """
    real = real.detach().requires_grad_()
    scores = critic(real)
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    loss = F.softplus(-scores).mean() + F.softplus(critic(fake.detach())).mean()
    return loss, slope.square().sum() / scores.numel()


@torch.no_grad()
def as_it_trains(net: nn.Module, *inputs: Tensor) -> Any:
    """What a network makes of a batch now, by its statistics in training mode; those that run
    stay as they are, and a copy of them moves."""
    statistics = {name: value.clone() for name, value in net.named_buffers()}
    return functional_call(net, statistics, inputs)


def judged(critic: nn.Module, image: Tensor) -> Tensor:
    """critic(image) with a gradient for the image only: in this turn the critic's weights rest."""
    weights = {name: value.detach() for name, value in critic.named_parameters()}
    scores: Tensor = functional_call(critic, weights, image)
    return scores


def both(batch: Batch) -> tuple[Tensor, Tensor]:
    assert batch.clean is not None
    assert batch.degraded is not None
    return batch.clean, batch.degraded
