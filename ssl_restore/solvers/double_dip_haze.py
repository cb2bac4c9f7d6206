"""Haze as two layers: the clean picture and the airlight, mixed by the transmission.

    I = t J + (1 - t) A

The start is that of the dark channel (He, Sun and Tang, PAMI 2011), with the mean of three windows,
of which the wider ones look beyond white things, and a neutral airlight. On an even, bright wall
nothing is dark however near it is: so the guided filter trusts a place by the square of the
contrast that it has without haze, (max - min of a window) / t. What is higher in a picture is
usually farther away: the optical depth d is drawn to its mean a little and tilted, y from -1/2 at
the top to 1/2,

    t = exp(-((1 - e) d + e mean(d)) (1 - g y))
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ssl_restore.calibration import dark_channel
from ssl_restore.objectives.exclusion import exclusion
from ssl_restore.solvers.coupled_layers import Course, Drawing, Layers, draw_layers, enlarged

WINDOWS = (23, 45, 91)  # of the dark channel, in pixels of a picture of 600
OMEGA = 0.98
REACH = 0.15  # radius of the guided filter, of the longest side
LEAST = 0.1  # transmission
EVEN, GROUND = 0.1, 0.1  # e, g
TRUSTED = 0.01  # least, of a place without contrast
LEAST_SIDE_PX = 8  # of a picture
CLEAR = 0.75  # median transmission above which there is hardly any haze
TOLERANCE = 0.1  # for colours near the airlight, as in `dark_channel`
WEIGHTS = {"mixture": 1.0, "start": 1.0, "exclusion": 0.1, "airlight": 1.0}
LATER = 0.3  # of the weight of the start while the layers are drawn together


class HazyPicture(Drawing):
    """Terms: `mixture`, mean |t J + (1 - t) A - I|^2; `start`, mean |t - t0|^2 and |J - J0|^2;
    `exclusion` of the edges of J and t; `airlight`, mean |A - A0|^2."""

    def __init__(
        self, networks: list[nn.Module], image: Tensor, start: Layers, later: float
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.image, self.start, self.later = image, start, later
        self.airlight = nn.Parameter(start["airlight"].mean(dim=(2, 3), keepdim=True))
        self.layers = start

    def terms(self, drawn: list[Tensor], alone: bool) -> Layers:
        clean, t = drawn
        light = self.airlight
        mixture = t * clean + (1 - t) * light
        self.layers = {
            "clean": clean.detach(), "transmission": t.detach(),
            "airlight": light.detach().expand_as(clean),
        }  # fmt: skip
        together = 0.0 if alone else 1.0
        start = (t - self.start["transmission"]).square().mean()
        drawn_alone = (clean - self.start["clean"]).square().mean()
        return {
            "mixture": together * (mixture - self.image).square().mean(),
            "start": start + drawn_alone if alone else self.later * start,
            "exclusion": together * exclusion(clean, t),
            "airlight": (light - self.start["airlight"]).square().mean(),
        }


def separate(image: Tensor, course: Course) -> Layers:
    """{"clean", "transmission", "airlight"} of an image (1, 3, H, W); one with a side below
    `LEAST_SIDE_PX` stays as it is, as is said."""
    if min(image.shape[2:]) < LEAST_SIDE_PX:
        course.notify("it is too small to tell its haze, and stays as it is")
        return {"clean": image, "transmission": torch.ones_like(image[:, :1]), "airlight": image}
    start, target = dark_channel_start(image), course.reduced(image)
    if float(start["transmission"].median()) > CLEAR:
        course.notify("hardly any haze was found in it; it is changed all the same")
    start = {name: course.reduced(layer) for name, layer in start.items()}
    networks: list[nn.Module] = [course.network(channels, image.device) for channels in (3, 1)]
    drawing = HazyPicture(networks, target, start, LATER)
    drawn = draw_layers(drawing, WEIGHTS, target, course.smaller(image).shape, course)
    return remove_haze(image, drawn)


def dark_channel_start(image: Tensor) -> Layers:
    """Layers by the dark channel, of which three windows give the mean, and a neutral airlight: the
    brightest colour of the haziest pixels."""
    values = image[0].cpu().numpy().clip(0, 1)
    longest = max(values.shape[1:])
    scale = longest / dark_channel.PUBLISHED_PX
    sides = [2 * round(window * scale / 2) + 1 for window in WINDOWS]
    hazy = dark_channel.dark_channel(values, sides[0]).ravel()
    haziest = np.argsort(-hazy, kind="stable")[: max(1, round(dark_channel.BRIGHTEST * hazy.size))]
    light = max(float(values.reshape(3, -1)[:, haziest].max()), dark_channel.LEAST_AIRLIGHT)
    dark = np.mean([dark_channel.dark_channel(values, side) for side in sides], axis=0)
    rough = 1 - OMEGA * dark / light
    around, grey = np.ones((sides[1], sides[1]), np.uint8), values.mean(axis=0)
    contrast = (cv2.dilate(grey, around) - cv2.erode(grey, around)) / rough.clip(LEAST, 1)
    trust = contrast**2 + TRUSTED
    t = dark_channel.guided(values, rough, max(1, round(REACH * longest)), trust)
    depth = -torch.from_numpy(t).to(image)[None, None].clamp(LEAST, 1).log()
    y = torch.linspace(-0.5, 0.5, image.shape[2]).to(image)[:, None]
    depth = ((1 - EVEN) * depth + EVEN * depth.mean()) * (1 - GROUND * y)
    transmission = (-depth).exp().clamp(LEAST, 1)
    clean = (image - light) / transmission + light
    airlight = torch.full_like(image, light)
    return {"clean": clean.clamp(0, 1), "transmission": transmission, "airlight": airlight}


def remove_haze(image: Tensor, drawn: Layers) -> Layers:
    """The transmission brought to the edges of the picture, and the picture without its haze."""
    rough = enlarged(drawn["transmission"], image.shape)
    guide = image[0].cpu().numpy().clip(0, 1)
    radius = max(1, round(REACH * max(image.shape[2:])))
    refined = dark_channel.guided(guide, rough[0, 0].cpu().numpy(), radius)
    t = torch.from_numpy(refined).to(image)[None, None].clamp(LEAST, 1)
    light = drawn["airlight"][..., :1, :1].expand_as(image)
    near = (image - light).abs().amax(dim=1, keepdim=True).clamp_min(1e-3)
    t = (t * (TOLERANCE / near).clamp_min(1)).clamp_max(1)
    return {"clean": (image - light) / t + light, "transmission": t, "airlight": light.clone()}
