"""The commands that two checkouts of the project are compared by, and the inputs of these."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

COMMANDS = ("adapt", "calibrate", "denoise", "derain", "evaluate", "fit", "recipes", "synth",
            "synth-rain")  # fmt: skip
DEFAULT_RECIPE = "derain_unpaired"
RAINY_RECIPES = {DEFAULT_RECIPE, "physics_gan", "rrcl"}  # those named _physics need clean ones only
SMALL = ("--set", "batch=4", "--set", "patch=32")
SIDE_PX = 192
Pixels = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """Command lines that are run one after the other in a folder of their own."""

    name: str
    commands: tuple[tuple[str, ...], ...]


def cases(inputs: Path, recipes: Sequence[str], degradations: Sequence[str]) -> list[Case]:
    """All of them, on the pictures of `write_inputs`."""
    rainy, clean, noisy = (str(inputs / name) for name in ("rainy", "clean", "noisy"))
    kinds, frames, photos = (str(inputs / name) for name in ("kinds", "frames", "photos"))
    wet, grainy, photo = f"{rainy}/example.png", f"{noisy}/0_a.png", f"{photos}/0.png"
    derain, denoise = ("derain", wet, "out.png"), ("denoise", grainy, "out.png")
    adapt, rain = ("adapt", frames, "out", "--steps"), ("synth-rain", photos, "set")
    fit = ("fit", "--images", rainy, "-o", "run", *SMALL)
    made: dict[str, tuple[tuple[str, ...], ...]] = {
        "lists": (("--help",), ("recipes",), ("synth",), *((name, "-h") for name in COMMANDS)),
        "derain/file": (derain,),
        "derain/folder": (("derain", kinds, "out"),),
        "derain/best": ((*derain, "--quality", "best"),),
        "derain/veil": ((*derain, "--veil"),),
        "derain/tile": ((*derain, "--tile", "64"),),
        "derain/fp32": ((*derain, "--precision", "fp32"),),
        "denoise/file": (denoise,),
        "denoise/folder": (("denoise", kinds, "out"),),
        "denoise/strength": ((*denoise, "--strength", "0.5"),),
        "denoise/grain": ((*denoise, "--grain", "2"),),
        "denoise/best": ((*denoise, "--quality", "best"),),
        "adapt/frame2frame": ((*adapt, "10", "--method", "frame2frame"),),
        "adapt/restore_from_restored": ((*adapt, "10", "--method", "restore_from_restored"),),
        "adapt/online": ((*adapt, "3", "--online"),),
        "adapt/derain": (("adapt", frames, "out.avi", "--steps", "5", "--task", "derain"),),
        "synth-rain/mixed": (rain,),
        "synth-rain/storm": ((*rain, "--preset", "storm", "--haze", "--noise", "--drops"),),
        "synth-rain/night": ((*rain, "--preset", "night"),),
        "synth-rain/physics": ((*rain, "--rate", "40", "--exposure", "1/100"),),
        "synth-rain/frames": (("synth-rain", photo, "set", "--frames", "3", "--video"),),
        "synth-rain/like": (
            ("calibrate", rainy, "-o", "rain.json"),
            (*rain, "--like", "rain.json"),
        ),
        "synth/blur,noise,jpeg": (
            ("synth", "blur,noise,jpeg", photos, "set", "--set", "noise.sigma=0.05"),
        ),
    }
    made |= {f"synth/{name}": (("synth", name, photo, "set"),) for name in degradations}
    made |= {
        "calibrate/rain": (
            ("calibrate", rainy, "-o", "rain.json", "--focal-px", "500", "--exposure-s", "0.01"),
        ),
        "calibrate/noise": (("calibrate", "--noise", noisy, "-o", "noise.json"),),
        "evaluate/csv": (("evaluate", rainy, clean, "--csv", "scores.csv"),),
        f"fit/{DEFAULT_RECIPE}": (
            (*fit, "--steps", "50"),
            (*derain, "--weights", "run/restorer.safetensors"),
        ),
        "fit/from-scratch": ((*fit, "--from-scratch", "--steps", "10"),),
    }
    for name in recipes:
        shown = ("--images", rainy if name in RAINY_RECIPES else noisy)
        needed = () if name.endswith("_physics") else shown
        learn = ("fit", *needed, "--recipe", name, "-o", "run", *SMALL, "--steps", "10")
        made.setdefault(f"fit/{name}", (learn,))
    return [Case(name, commands) for name, commands in made.items()]


# What the commands are given


def write_inputs(samples: Path, folder: Path) -> None:
    """Small pictures made from those bundled, always the same.

    photos/  three photographs            rainy/, clean/  pairs, the first one of real rain
    noisy/   two scenes, each seen twice  frames/         a camera that moves, with noise
    kinds/   16 bit, alpha, grey, 8 bit with a profile, a turned JPEG
    """
    draws = np.random.default_rng(0)
    files = sorted((samples / "photos").glob("*.jpg"))
    if len(files) < 3:
        sys.exit(f"{samples}/photos: no pictures there; OLD must be a checkout that has them")
    whole = [_decoded(path) for path in files[:: len(files) // 3][:3]]
    photos = [_middle(picture, SIDE_PX) for picture in whole]
    rainy = [_with_streaks(picture, draws) for picture in photos]
    example = _middle(_decoded(samples / "rainy_example.png"), 256)
    made = {"rainy/example": example, "clean/example": cv2.medianBlur(example, 5)}
    for number, (photo, rained) in enumerate(zip(photos, rainy, strict=True)):
        made |= {f"{kind}/{number}": photo for kind in ("photos", "clean")}
        made[f"rainy/{number}"] = rained
    for name in ("0_a", "0_b", "1_a", "1_b"):
        made[f"noisy/{name}"] = _with_noise(photos[int(name[0])], 15, draws)
    for number in range(6):
        window = whole[0][64:192, 64 + 3 * number : 224 + 3 * number]
        made[f"frames/{number}"] = _with_noise(window, 25, draws)
    deep = _with_noise(257 * rainy[0].astype(np.uint16), 257 * 5, draws)
    alpha = np.tile(np.linspace(0, 255, SIDE_PX).astype(np.uint8), (SIDE_PX, 1))
    made["kinds/deep"], made["kinds/alpha"] = deep, np.dstack((rainy[1], alpha))
    made["kinds/deep_alpha"] = np.dstack((deep, 257 * alpha.astype(np.uint16)))[:129, :150]
    made["kinds/grey"] = rainy[2].mean(axis=2).astype(np.uint8)
    for name, pixels in made.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), pixels):
            sys.exit(f"{path}: could not be written")
    plain = Image.fromarray(np.ascontiguousarray(rainy[0][:, :, ::-1]))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = icc[:24] + bytes(12) + icc[36:]  # without the date on which it was made
    plain.save(folder / "kinds" / "profile.png", icc_profile=icc)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"  # orientation: to be turned by 90 degrees
    plain.crop((0, 0, 150, 101)).save(folder / "kinds" / "turned.jpg", exif=exif, quality=95)


def _decoded(path: Path) -> Pixels:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        sys.exit(f"{path}: cannot be read; OLD must be a checkout with its pictures")
    return pixels


def _middle(pixels: Pixels, side: int) -> Pixels:
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _with_noise(pixels: Pixels, sigma: float, draws: np.random.Generator) -> Pixels:
    noisy = pixels + draws.normal(0, sigma, pixels.shape)
    return noisy.round().clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def _with_streaks(pixels: Pixels, draws: np.random.Generator) -> Pixels:
    """Slanting lines of light, a little blurred."""
    height, width = pixels.shape[:2]
    layer: Pixels = np.zeros((height, width), np.float32)
    for x, y, length, light in draws.uniform((0, -20, 15, 30), (width, height, 35, 90), (120, 4)):
        end = int(x + length / 5), int(y + length)
        cv2.line(layer, (int(x), int(y)), end, light, 1, cv2.LINE_AA)
    layer = cv2.GaussianBlur(layer, (0, 0), 0.6)
    return (pixels + layer[:, :, None]).round().clip(0, 255).astype(np.uint8)
