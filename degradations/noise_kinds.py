"""Kinds of noise that people have, and a prior that draws one of them, or two, for each picture.

    I = narrow(second(first(J))),    first one of the kinds, second one of them or none, and narrow,
                                     few levels of brightness, of a share of the pictures

Display values. The ranges span independent noise up to a standard deviation of 55 of 255, cameras
at any ISO with and without JPEG, film and scans, broken pixels and speckle; clean pictures are
among them.
"""

from __future__ import annotations

from collections.abc import Mapping

from .camera_noise import CameraNoise
from .chain import Chain
from .choice import Choice
from .grain import Grain
from .jpeg import Jpeg
from .narrow_range import NarrowRange
from .noise import CorrelatedNoise, ImpulseNoise, Noise
from .one_of import OneOf
from .salt_pepper import SaltPepper
from .speckle import Speckle
from .types import Degradation, check_values

NONE = Chain(())
BROKEN_SHARE = (0.002, 0.2)
NOISE_KINDS: Mapping[str, Degradation] = {
    "clean": NONE,
    "gaussian": Noise(gain=(0.0, 0.0), sigma=(0.0, 55 / 255)),
    "photons": Noise(gain=(0.0, 0.04), sigma=(0.0, 0.08)),
    "correlated": CorrelatedNoise(sigma=(0.0, 0.12), width_px=(0.3, 1.5)),
    "camera": Chain((CameraNoise(), Choice(NONE, Jpeg(quality=(75.0, 98.0)), share=0.5))),
    # All colours share it: as independent noise in a grey picture.
    "luma": Grain(
        sigma=(0.0, 55 / 255), size_px=(0.2, 0.3), shared=(0.7, 1.0), midtones=(0.0, 0.0),
        tilt=(0.0, 0.0),
    ),
    "grain": Grain(sigma=(0.0, 0.12)),
    "impulse": Choice(ImpulseNoise(BROKEN_SHARE), SaltPepper(BROKEN_SHARE), share=0.6),
    "speckle": Speckle(),
}  # fmt: skip
NOISE_WEIGHTS: Mapping[str, float] = {
    "clean": 0.05, "gaussian": 0.25, "photons": 0.1, "correlated": 0.1, "camera": 0.2,
    "luma": 0.12, "grain": 0.08, "impulse": 0.07, "speckle": 0.03,
}  # fmt: skip
WEAK = OneOf(  # what comes on top of another kind
    (Noise(gain=(0.0, 0.005), sigma=(0.0, 0.05)), SaltPepper((0.001, 0.03)), Grain((0.0, 0.06))),
    weights=(0.5, 0.3, 0.2),
)
FEW_LEVELS = NarrowRange(bits=(5.0, 8.0), white=(1.0, 1.0))


def any_noise(
    *,
    weights: Mapping[str, float] = NOISE_WEIGHTS,
    second: float = 0.15,
    few_levels: float = 0.05,
) -> Chain:
    """Prior over every kind of noise.

    Args:
        weights: of the `NOISE_KINDS` by name; one that is left out is never drawn.
        second: share of the pictures with weak noise of another kind on top.
        few_levels: share of the pictures stored in 5 to 8 bits, as stretched from a narrow range.

    Returns:
        A chain of the choices.

    Raises:
        ValueError: for an unknown kind, weights below 0 or all of them 0, and shares that are none.

    Example:
        >>> image = torch.full((4, 3, 16, 16), 0.5)
        >>> degrade(image, any_noise(), torch.Generator().manual_seed(0)).shape
        torch.Size([4, 3, 16, 16])
    """
    unknown = sorted(set(weights) - set(NOISE_KINDS))
    if unknown:
        raise ValueError(f"unknown kind of noise {unknown[0]!r}: known: {', '.join(NOISE_KINDS)}")
    check_values("second", second, "share", 0, 1)
    check_values("few_levels", few_levels, "share", 0, 1)
    first = OneOf(tuple(NOISE_KINDS[name] for name in weights), tuple(weights.values()))
    return Chain((first, Choice(NONE, WEAK, second), Choice(NONE, FEW_LEVELS, few_levels)))
