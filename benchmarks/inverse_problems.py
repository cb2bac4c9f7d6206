"""Physics inverted by its own gradients: what degraded a picture, from it and its clean version.

    python benchmarks/inverse_problems.py

Each problem starts far from the truth, descends through the library with Adam on the squared
error, and prints the values at the start, recovered and true, with the seconds it took. The
degraded pictures are those of an 8-bit file. What makes each of them solvable is said beside it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from degradations.haze import Haze, HazeParams, add_haze
from degradations.kernels import convolve, gaussian_kernel
from degradations.rain import add_rain
from degradations.sensor import quantise
from degradations.shake import ShakeParams, shake
from degradations.streaks import RainParams


@dataclass(frozen=True)
class Answer:
    start: dict[str, Tensor]
    found: dict[str, Tensor]
    truth: dict[str, Tensor]


def picture(side: int, seed: int) -> Tensor:
    """(1, 3, side, side) of random texture, coarse and fine, in [0.1, 0.9]."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(3, side, side)
    for sigma in (0.5, 1.5, 4.0):
        noise = torch.randn(3, side, side, generator=generator)
        layer = convolve(noise, gaussian_kernel(torch.tensor(sigma)))
        total = total + layer / layer.std()
    return (0.5 + 0.1 * total).clamp(0.1, 0.9)[None]


def descend(
    guess: dict[str, Tensor],
    render: Callable[[dict[str, Tensor]], Tensor],
    truth: dict[str, Tensor],
    *,
    steps: int,
    lr: float,
) -> Answer:
    """Adam on the squared error of the picture, down to a twentieth of the rate."""
    seen = quantise(render(truth))
    start = copies(guess)
    leaves = [value.requires_grad_() for value in guess.values()]
    optimizer = torch.optim.Adam(leaves, lr=lr)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, lr / 20)
    for _ in range(steps):
        loss = (render(guess) - seen).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return Answer(start, copies(guess), truth)


def copies(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in values.items()}


def recover_rain(side: int = 72, streaks: int = 24) -> Answer:
    """Angle, length and brightness of all streaks, from 30 degrees and a fourth of the length.

    The streaks share them. Their centres and width are known, which makes this easy: a streak and
    its guess always cross, so that the error leads from one to the other. With unknown centres it
    has a minimum for every pairing of streaks, and descent needs a start close to the truth.
    """
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 1, streaks, generator=generator) * side
    clean = picture(side, 2)

    def rain(values: dict[str, Tensor]) -> Tensor:
        def alike(value: Tensor) -> Tensor:
            return value.expand(1, streaks)

        one = torch.ones(1)
        params = RainParams(
            x_px=x, y_px=y, angle_rad=alike(values["angle_rad"]),
            length_px=alike(values["log_length"].exp()), width_px=alike(1.5 * one),
            brightness=alike(values["log_brightness"].exp()), taper=alike(0.4 * one),
            ripple=alike(0 * one), ripple_px=alike(one), phase_rad=alike(0 * one),
            present=torch.ones(1, streaks, dtype=torch.bool),
            ceiling=2 * one, transmission=one, airlight=one,
        )  # fmt: skip
        return add_rain(clean, params)

    truth = values_of(angle_rad=0.2, log_length=math.log(24), log_brightness=math.log(0.3))
    guess = values_of(
        angle_rad=0.2 - math.radians(30), log_length=math.log(6), log_brightness=math.log(0.45)
    )
    return descend(guess, rain, truth, steps=150, lr=0.05)


def recover_haze(side: int = 32) -> Answer:
    """Extinction and airlight of a scene whose depth map is known."""
    depth = Haze().sample((1, 3, side, side), torch.Generator().manual_seed(3)).depth_m
    clean = picture(side, 4)

    def hazy(values: dict[str, Tensor]) -> Tensor:
        return add_haze(clean, HazeParams(depth, values["log_beta"].exp(), values["airlight"]))

    truth = values_of(log_beta=math.log(0.02)) | {"airlight": torch.tensor([[0.8, 0.82, 0.86]])}
    guess = values_of(log_beta=math.log(0.004)) | {"airlight": torch.full((1, 3), 0.5)}
    return descend(guess, hazy, truth, steps=400, lr=0.1)


def recover_shake(side: int = 48) -> Answer:
    """The way of a shaken camera through five points; the start is a straight stroke of 2 px.

    A way and its reverse blur alike: the stroke points along the truth, which picks one of them.
    """
    clean = picture(side, 5)

    def shaken(values: dict[str, Tensor]) -> Tensor:
        return shake(clean, ShakeParams(values["x_px"][None], values["y_px"][None]))

    truth = {
        "x_px": torch.tensor([-4.0, -3.0, 0.5, 3.0, 3.5]),
        "y_px": torch.tensor([-3.0, 0.5, 1.5, -1.0, 2.0]),
    }
    guess = {"x_px": torch.linspace(-1, 1, 5), "y_px": torch.linspace(-0.5, 0.5, 5)}
    return descend(guess, shaken, truth, steps=200, lr=0.2)


def values_of(**numbers: float) -> dict[str, Tensor]:
    return {name: torch.tensor([number]) for name, number in numbers.items()}


def main() -> None:
    torch.set_num_threads(1)  # the pictures are small
    for recover in (recover_rain, recover_haze, recover_shake):
        begun = time.perf_counter()
        answer = recover()
        print(f"{recover.__name__}: {time.perf_counter() - begun:.1f} s")
        for name in answer.truth:
            for what in ("start", "found", "truth"):
                values = getattr(answer, what)[name].flatten().tolist()
                if name.startswith("log_"):
                    values = [math.exp(value) for value in values]
                shown = "  ".join(f"{value:8.4f}" for value in values)
                print(f"  {name.removeprefix('log_'):12} {what:6} {shown}")


if __name__ == "__main__":
    main()
