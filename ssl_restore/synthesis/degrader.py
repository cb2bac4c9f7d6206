"""Degradations one after the other on a photograph: in pictures, and in numbers.

Over the frames of a shot everything is drawn once; what changes from frame to frame is the
degradation's to say (`degradations.at_frame`): rain falls on, noise draws its grain anew, haze,
drops on the lens and blur stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from degradations import (
    Degradation,
    Range,
    Shape,
    at_frame,
    check_fps,
    darkened,
    describe,
    for_picture,
    quantise,
    render,
    to_display,
    to_linear,
    uniform,
)
from degradations.description import number
from ssl_restore import rng
from ssl_restore.errors import WrongCall
from ssl_restore.io.shots import Frame


@dataclass(frozen=True)
class Degrader:
    """Makes the degraded picture, the clean one and, for rain, the layer of its streaks.

    `kinds` names them. The clean picture is the photograph, darkened where `light` is given. What
    is drawn depends on `seed`, the shot, the variant, and the name of the step.
    """

    steps: Mapping[str, Degradation]  # in their order; the name is that of the random stream
    kinds: tuple[str, ...]  # degraded, clean, and maybe the streaks
    settings: Mapping[str, Any]  # as JSON has it
    seed: int = 0
    light: Range | None = None  # share of the light that is left; None: all
    fps: float | None = None  # frames a second of a shot

    def check(self) -> None:
        """WrongCall for settings that nothing can be drawn from, or that a grey picture refuses."""
        grey = torch.full((1, 3, 8, 8), 0.5)
        for name, step in self.steps.items():
            stream = rng.derive(0, "check")
            try:
                if self.fps is not None:
                    check_fps(step, self.fps)
                prior = for_picture(step, 8, 8, stream)
                params = prior.sample((1, 3, 8, 8), stream)
                if not prior.apply(grey, params).isfinite().all():
                    raise ValueError("makes values that are not finite")
            except (ValueError, RuntimeError) as error:
                reason = str(error).split("\n", 1)[0]
                raise WrongCall(f"{name}: {reason}") from error

    def layers(self, photo: Tensor, frame: Frame) -> tuple[Sequence[Tensor], dict[str, Any]]:
        """The picture of each kind, and the parameters in numbers, by the name of the step."""
        log: dict[str, Any] = {}
        clean, light = photo, None
        if self.light is not None:
            light = uniform(self.light, (1,), self._stream("light", frame), log=True)
            clean = quantise(to_display(light * to_linear(photo)))
            log["light"] = number(light)
        image, streaks = clean, torch.zeros_like(photo[:, :1])
        height, width = photo.shape[2:]
        for name, step in self.steps.items():
            prior, params = self._draw(name, step, _shape(image), frame)
            if light is not None:
                params = darkened(prior, params, light)
            log[name] = describe(prior, params, height, width)
            image, layer = render(prior, image, params)
            streaks = streaks if layer is None else layer
        return (quantise(image), clean, streaks)[: len(self.kinds)], log

    def _draw(
        self, name: str, step: Degradation, shape: Shape, frame: Frame
    ) -> tuple[Degradation, Any]:
        """The prior of this picture, and its parameters in this frame."""
        stream = self._stream(name, frame)
        prior = for_picture(step, *shape[2:], stream)
        params = prior.sample(shape, stream)
        if frame.number is None:
            return prior, params
        own = self._stream(name, frame, frame.number)
        return prior, at_frame(prior, params, frame.number, shape, fps=self.fps, generator=own)

    def _stream(self, name: str, frame: Frame, number: int | None = None) -> Generator:
        purpose = f"synth/{frame.shot}/{name}" + ("" if number is None else f"/{number}")
        return rng.derive(self.seed, purpose, frame.variant)


def _shape(image: Tensor) -> Shape:
    batch, channels, height, width = image.shape
    return batch, channels, height, width
