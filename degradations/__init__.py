"""Differentiable models of what weather and cameras do to a picture.  Imports torch only.

Conventions, stated once:

- Images are (B, C, H, W), RGB, float32 (float64 in gradient tests), values in [0, 1].
  Per-image parameters are tensors of shape (B,) or (B, ...).
- Networks and files use display (sRGB) values; physics is exact in linear light. Each
  degradation states its space in its docstring; `color.py` converts explicitly.
- Physics never clamps: only `sensor.py`, and `jpeg.py` by it, clamps and quantises
  (straight-through gradient).
- Angles in radians, lengths in pixels, distances in metres, rain rate in mm/h, noise in units
  of the image range; the unit is part of the name (`angle_rad`, `length_px`).
- A degradation is two things: a frozen dataclass of ranges (a prior), whose
  `sample(shape, generator)` draws a frozen dataclass of tensors (the parameters), and a pure
  function `apply(image, params)`. All randomness is in the draw; applying is deterministic,
  and differentiable in the image and in every continuous parameter.
- Randomness comes from a CPU `torch.Generator` that the caller passes in, never from the
  global state.
"""
