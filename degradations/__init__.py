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
- What some degradations can do besides (frames of a shot, bands, veil, a description) is listed
  in `capabilities.py`; the functions there ask no degradation for its type.
- Parameters follow their image: applying moves them to its device, and floating ones to its dtype.
- Randomness comes from a CPU `torch.Generator` that the caller passes in, never from the
  global state.
"""

from __future__ import annotations

from .blur import Blur, BlurParams, blur, blur_adjoint, blur_kernel, blur_light
from .camera import Camera, CameraParams, develop, photograph, to_raw
from .camera_blur import camera_blur
from .camera_noise import CameraNoise, CameraNoiseParams, add_camera_noise
from .capabilities import (
    at_frame,
    check_fps,
    darkened,
    describe,
    for_picture,
    render,
    without_streaks,
)
from .chain import Chain, ChainParams
from .choice import Choice, ChoiceParams
from .color import luma, to_display, to_linear
from .depth import plausible_depth
from .drops import DefocusedDrops, Drops, DropsParams, add_drops
from .falling import advance_streaks
from .grain import Grain, GrainParams, add_grain, grain_std
from .harvested_rain import HarvestedRain, HarvestedRainParams, add_layer
from .haze import Haze, HazeParams, add_haze, transmission, visibility_m
from .haze_like import HazeLike, MeasuredHaze
from .jpeg import Jpeg, JpegParams, quantisation, store_jpeg
from .kernels import (
    convolve,
    convolve_adjoint,
    disc_kernel,
    gaussian_kernel,
    path_kernel,
    segment_kernel,
)
from .layered_blur import LayeredBlur, LayeredBlurParams, blur_layer
from .lost_pixels import BernoulliParams, ImpulseParams, break_pixels, drop_pixels
from .mosaic import colours_of_sites, demosaic, mosaic
from .narrow_range import NarrowRange, NarrowRangeParams, narrow_range
from .noise import (
    BernoulliNoise,
    CorrelatedNoise,
    CorrelatedParams,
    ImpulseNoise,
    Noise,
    NoiseParams,
    PoissonNoise,
    PoissonParams,
    add_correlated_noise,
    add_noise,
    count_photons,
    noise_std,
)
from .noise_field import noise_field, unit_noise
from .noise_kinds import any_noise
from .one_of import OneOf, OneOfParams
from .populations import Apart, Populations, draw_streaks, farther, with_farther
from .rain import Rain, add_rain, light_around
from .rain_kinds import Kind, mix_kinds
from .rain_like import MeasuredRain, RainLike, Uncertainty
from .raindrops import drop_density, expected_coverage, extinction_per_m, fall_speed, implied_rate
from .rainfall import Rainfall, RainfallParams, Weather, add_rainfall
from .raw_noise import RawNoise, RawNoiseParams, add_raw_noise, noise_of_iso
from .resample import Resample, ResampleParams, resample, resample_adjoint, resampling
from .salt_pepper import SaltPepper
from .sampling import degrade, degrade_chosen, degrade_share, sample_params
from .sensor import Sensor, SensorParams, expose, quantise, tone, undo_tone
from .shadow import CastShadow, Shadow, ShadowParams, add_shadow, shadow_mask
from .shake import Shake, ShakeParams, shake, shake_adjoint, shake_light
from .smoothing import sharpen, smooth
from .speckle import Speckle, SpeckleParams, add_speckle
from .streaks import RainParams, StreakLayers, join_streaks, light_layers, streak_layer
from .types import Degradation, Range, Shape, follow, map_tensors, tensors, uniform
from .veil import Veil, VeilParams, add_veil, veil

# Those that `ssl-restore synth` takes by name; a new one is added here, and below by all its names.
PRIORS: tuple[type[Degradation], ...] = (
    BernoulliNoise,
    Blur,
    Camera,
    CameraNoise,
    CastShadow,
    CorrelatedNoise,
    Drops,
    Grain,
    Haze,
    HazeLike,
    ImpulseNoise,
    Jpeg,
    LayeredBlur,
    NarrowRange,
    Noise,
    PoissonNoise,
    Rain,
    RainLike,
    Rainfall,
    RawNoise,
    Resample,
    SaltPepper,
    Sensor,
    Shadow,
    Shake,
    Speckle,
    Veil,
)

__all__ = [
    "PRIORS",
    "Apart",
    "BernoulliNoise",
    "BernoulliParams",
    "Blur",
    "BlurParams",
    "Camera",
    "CameraNoise",
    "CameraNoiseParams",
    "CameraParams",
    "CastShadow",
    "Chain",
    "ChainParams",
    "Choice",
    "ChoiceParams",
    "CorrelatedNoise",
    "CorrelatedParams",
    "DefocusedDrops",
    "Degradation",
    "Drops",
    "DropsParams",
    "Grain",
    "GrainParams",
    "HarvestedRain",
    "HarvestedRainParams",
    "Haze",
    "HazeLike",
    "HazeParams",
    "ImpulseNoise",
    "ImpulseParams",
    "Jpeg",
    "JpegParams",
    "Kind",
    "LayeredBlur",
    "LayeredBlurParams",
    "MeasuredHaze",
    "MeasuredRain",
    "NarrowRange",
    "NarrowRangeParams",
    "Noise",
    "NoiseParams",
    "OneOf",
    "OneOfParams",
    "PoissonNoise",
    "PoissonParams",
    "Populations",
    "Rain",
    "RainLike",
    "RainParams",
    "Rainfall",
    "RainfallParams",
    "Range",
    "RawNoise",
    "RawNoiseParams",
    "Resample",
    "ResampleParams",
    "SaltPepper",
    "Sensor",
    "SensorParams",
    "Shadow",
    "ShadowParams",
    "Shake",
    "ShakeParams",
    "Shape",
    "Speckle",
    "SpeckleParams",
    "StreakLayers",
    "Uncertainty",
    "Veil",
    "VeilParams",
    "Weather",
    "add_camera_noise",
    "add_correlated_noise",
    "add_drops",
    "add_grain",
    "add_haze",
    "add_layer",
    "add_noise",
    "add_rain",
    "add_rainfall",
    "add_raw_noise",
    "add_shadow",
    "add_speckle",
    "add_veil",
    "advance_streaks",
    "any_noise",
    "at_frame",
    "blur",
    "blur_adjoint",
    "blur_kernel",
    "blur_layer",
    "blur_light",
    "break_pixels",
    "camera_blur",
    "check_fps",
    "colours_of_sites",
    "convolve",
    "convolve_adjoint",
    "count_photons",
    "darkened",
    "degrade",
    "degrade_chosen",
    "degrade_share",
    "demosaic",
    "describe",
    "develop",
    "disc_kernel",
    "draw_streaks",
    "drop_density",
    "drop_pixels",
    "expected_coverage",
    "expose",
    "extinction_per_m",
    "fall_speed",
    "farther",
    "follow",
    "for_picture",
    "gaussian_kernel",
    "grain_std",
    "implied_rate",
    "join_streaks",
    "light_around",
    "light_layers",
    "luma",
    "map_tensors",
    "mix_kinds",
    "mosaic",
    "narrow_range",
    "noise_field",
    "noise_of_iso",
    "noise_std",
    "path_kernel",
    "photograph",
    "plausible_depth",
    "quantisation",
    "quantise",
    "render",
    "resample",
    "resample_adjoint",
    "resampling",
    "sample_params",
    "segment_kernel",
    "shadow_mask",
    "shake",
    "shake_adjoint",
    "shake_light",
    "sharpen",
    "smooth",
    "store_jpeg",
    "streak_layer",
    "tensors",
    "to_display",
    "to_linear",
    "to_raw",
    "tone",
    "transmission",
    "undo_tone",
    "uniform",
    "unit_noise",
    "veil",
    "visibility_m",
    "with_farther",
    "without_streaks",
]
