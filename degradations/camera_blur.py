"""Blur as cameras leave it in their files: one of its causes, then noise, then JPEG.

I = jpeg(noise(b(J))),      b one of: a shaken camera, a lens out of focus, one layer of the
                            picture that moves or is out of focus
"""

from __future__ import annotations

from .blur import Blur
from .chain import Chain
from .choice import Choice
from .jpeg import Jpeg
from .layered_blur import LayeredBlur
from .noise import Noise
from .shake import Shake
from .types import check_values

SHAKEN = Shake(length_px=(3.0, 40.0))
DEFOCUSED = Blur(sigma_px=(0.3, 1.0), radius_px=(1.0, 8.0), defocused=1.0, shaken=0.0)
LAYERED = LayeredBlur()
NOISE = Noise(gain=(0.0, 0.002), sigma=(0.0, 0.02))
JPEG = Jpeg(quality=(60.0, 98.0))


def camera_blur(
    *,
    shaken: float = 0.4,
    defocused: float = 0.3,
    layered: float = 0.3,
    noise: Noise = NOISE,
    jpeg: Jpeg = JPEG,
) -> Chain:
    """Prior over blurred pictures from cameras.

    Args:
        shaken: weight of shaken cameras; the three are shares of the images where they sum to one.
        defocused: of lenses out of focus.
        layered: of pictures one layer of which moves or is out of focus.
        noise: of the sensor.
        jpeg: of the file.

    Returns:
        A chain of the choice, the noise and the file.

    Raises:
        ValueError: unless the weights are at least 0 and one is above 0.

    Example:
        >>> image = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))
        >>> degrade(image, camera_blur(), torch.Generator().manual_seed(1)).shape
        torch.Size([2, 3, 24, 32])
    """
    for name, weight in (("shaken", shaken), ("defocused", defocused), ("layered", layered)):
        check_values(name, weight, "weight")
    total = shaken + defocused + layered
    check_values("shaken + defocused + layered", total, "weight", above=True)
    whole = shaken + defocused
    of_whole = Choice(SHAKEN, DEFOCUSED, share=defocused / whole if whole else 0.0)
    return Chain((Choice(of_whole, LAYERED, share=layered / total), noise, jpeg))
