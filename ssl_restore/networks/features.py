"""Features of a network at rest, in which pictures are compared: perceptual distances.

    d(a, b) = mean over levels of |phi_l(a) - phi_l(b)|^2 / |phi_l(b)|^2

`denoiser` takes the encoder of the built-in denoiser, which every installation has; `vgg` that of
VGG-16 up to relu3_3, which torchvision has to be there and to have downloaded.

No `build` here: that is for restorers. Reference: Johnson, Alahi and Fei-Fei, "Perceptual losses
for real-time style transfer and super-resolution", ECCV 2016.
"""

from __future__ import annotations

import copy
import importlib
from typing import Any

import torch
from torch import Tensor, nn

from ssl_restore.errors import UserError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures VGG has learned
TAPS = (3, 8, 15)  # relu1_2, relu2_2, relu3_3
MULTIPLE = 8


class Features(nn.Module):
    """(B, 3, H, W) display values, sides multiples of 8, -> maps, finest first; at rest."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Features:
        return self  # its norms rest, too

    def forward(self, image: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.encoder(image)
        return maps

    def distance(self, image: Tensor, to: Tensor) -> Tensor:
        """d(image, to), scalar; `to` gets no gradient."""
        with torch.no_grad():
            wanted = self(to)
        pairs = list(zip(self(image), wanted, strict=True))
        shares = [
            (found.float() - known.float()).square().mean() / known.float().square().mean()
            for found, known in pairs
        ]
        return torch.stack(shares).mean()


class _Vgg(nn.Module):
    """The maps of VGG-16 at `TAPS`."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, image: Tensor) -> list[Tensor]:
        mean, deviation = (image.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        x, maps = (image - mean) / deviation, []
        for number, layer in enumerate(self.layers.children()):
            x = layer(x)
            if number in TAPS:
                maps.append(x)
        return maps


def features(name: str, denoiser: nn.Module) -> Features:
    """The features of a name: `denoiser`, whose network is given, or `vgg`."""
    if name == "denoiser":
        return Features(copy.deepcopy(denoiser.encoder))  # type: ignore[arg-type]
    if name != "vgg":
        raise UserError(f"{name!r} is unknown; use denoiser or vgg", parameter="features")
    try:
        models: Any = importlib.import_module("torchvision.models")
        layers = models.vgg16(weights="IMAGENET1K_V1").features[: TAPS[-1] + 1]
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(
            f"vgg needs torchvision and its weights ({error}); use denoiser", parameter="features"
        ) from error
    return Features(_Vgg(layers))
