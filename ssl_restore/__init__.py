"""Learn to restore images from your own degraded ones, and restore with what was learned.

    import ssl_restore as sr

    restorer = sr.load("derain")
    picture = sr.read("rainy.jpg")
    sr.write("clean.png", sr.restore(picture, restorer))

Images are RGB display values; nothing here imports torch before it is used. What is wrong with the
input is said by `UserError`: what was expected, what came, what to do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_restore.errors import UserError

if TYPE_CHECKING:
    from ssl_restore.calibration.haze import HazeCalibration
    from ssl_restore.calibration.noise import NoiseCalibration
    from ssl_restore.calibration.rain_file import RainCalibration
    from ssl_restore.evaluation.scoring import Score
    from ssl_restore.io.picture import Picture
    from ssl_restore.restorer import Restorer

__version__ = "0.2.0"
__all__ = [
    "UserError",
    "calibrate",
    "evaluate",
    "fit",
    "load",
    "read",
    "restore",
    "write",
]


def load(
    source: str | Path,
    *,
    task: str | None = None,
    scale: int | None = None,
    quality: str = "good",
    device: str = "auto",
    trainable: bool = False,
    precision: str = "auto",
) -> Restorer:
    """A restorer that is ready to use.

    Args:
        source: Name of a task (`derain`, `denoise`, `dehaze`, `upscale`): its built-in restorer; or
            the path of a checkpoint that `fit` wrote.
        task: Refuse a checkpoint that was learned for another task.
        scale: Of `upscale`: 2, which is the default, or 4.
        quality: `fast` loads the smaller built-in restorer of `denoise`.
        device: `auto` takes CUDA where there is one; else as torch names them.
        trainable: Keep its norms apart, which is slower, so that it can be learned on.
        precision: `int8` loads one that computes with integers of 8 bits, on an x86 processor, of
            the networks of `derain` and `denoise`: faster, and nearly the same.

    Returns:
        A `torch.nn.Module` with `stride`, `reach`, `scale`, `task`, `symmetry` and `layers`.

    Raises:
        UserError: For an unknown task, or a file that is no checkpoint or of another task.

    Example:
        >>> restorer = load("derain")
        >>> restorer.task, restorer.stride, restorer.layer_names[:2]
        ('derain', 8, ('clean', 'rain'))
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore import discover, weights  # noqa: PLC0415
    from ssl_restore.errors import UnknownName  # noqa: PLC0415
    from ssl_restore.inference.load import load_restorer  # noqa: PLC0415

    known = discover.names("tasks", "task")
    if not isinstance(source, (str, Path)):
        raise UserError(
            f"the name of a task ({', '.join(known)}) or a path is expected, got {source!r}",
            parameter="source",
        )
    path: Path | None = Path(source)
    if str(source) in known:
        path, task = None, str(source) if task is None else task
        if task != str(source):
            raise UserError(f"{source} is another task than {task}", parameter="task")
    elif not Path(source).exists() and not Path(source).suffix:
        raise UnknownName("task or checkpoint", str(source), known)
    if scale is not None:
        if str(source) != "upscale" or scale not in (2, 4):
            raise UserError(f"of upscale, 2 or 4; got {scale} for {source}", parameter="scale")
        path = weights.upscale(scale)
    on = devices.choose(device)
    return load_restorer(
        path, on, task=task, quality=quality, trainable=trainable, precision=precision
    )


def restore(
    image: Any,
    restorer: Restorer | str | Path = "derain",
    *,
    strength: float = 1.0,
    thorough: float | None = None,
    scale: int | None = None,
    quality: str = "good",
    tile: int | None = None,
    precision: str = "auto",
    device: str = "auto",
) -> Any:
    """Restore an image of any kind and size.

    Args:
        image: A path, a `Picture` of `read`, an array (H, W), (H, W, 1) or (H, W, 3) of uint8,
            uint16 or floating point in [0, 1], a tensor (C, H, W) or (B, C, H, W) in [0, 1], or a
            Pillow image.
        restorer: What `load` returns, or what it takes.
        strength: Share of what the restorer removes: 0 gives the image back, 1 the restored one.
        thorough: From 0, which leaves what might belong to the scene, to 1, which takes what might
            be degradation; None leaves it to the weights. Not all can be told.
        scale: Restores the result at 1/2, 1/4, ... 1 / scale of its size, too, for what is larger
            than the restorer knows; None: 2 or more, by the size, for the built-in one of `derain`,
            else 1.
        quality: `best` averages over all positions that the task does not tell apart; `fast` takes
            the smaller built-in restorer of `denoise`, and of `derain` one where two would follow
            each other.
        tile: Side of a tile (pixels); None chooses, 0 takes the image at once.
        precision: `auto` (bfloat16 where the processor is fast at it), `bf16`, `fp32` or `int8`, as
            of `load`, which is to be preferred for more than one picture.
        device: Where a restorer that is given by name or path goes.

    Returns:
        The restored image of the kind that was given, a `Picture` for a path. Floating-point values
        are not clamped to [0, 1]. A picture of 16 bits that uses 12 or fewer is restored in its
        range, and broken pixels are mended before a denoiser, as by the commands; not so in
        floating-point arrays and tensors.

    Raises:
        UserError: For what is no image, or a parameter out of its range.

    Example:
        >>> import numpy as np
        >>> grey = np.full((40, 60, 3), 128, np.uint8)
        >>> restore(grey, "derain").shape
        (40, 60, 3)
    """
    from ssl_restore.inference import wrappers  # noqa: PLC0415
    from ssl_restore.inference.any_image import restore_image  # noqa: PLC0415
    from ssl_restore.inference.condition import for_pixels  # noqa: PLC0415

    restorer, precision = _computing(_loaded(restorer, device, quality), precision)
    if not (isinstance(strength, (int, float)) and 0 <= strength <= 2):
        raise UserError(f"0 to 2 is expected, got {strength!r}", parameter="strength")
    if thorough is not None:
        restorer = wrappers.with_thoroughness(restorer, thorough)

    def wrap(inner: Restorer) -> Restorer:
        whole = wrappers.with_quality(inner, quality)
        return whole if strength == 1 else wrappers.Strength(whole, strength)

    adapted = for_pixels(restorer, wrap)
    return restore_image(
        wrap(restorer), image, scale=scale, tile=tile, precision=precision, for_pixels=adapted
    )


def _computing(restorer: Restorer, precision: str) -> tuple[Restorer, str]:
    """With integers where that was asked for, and the precision of all that has none."""
    from ssl_restore.inference import int8  # noqa: PLC0415

    if precision == int8.PRECISION:
        restorer = int8.with_integers(restorer)
    return restorer, int8.beside(precision)


def _loaded(restorer: Any, device: str, quality: str) -> Restorer:
    """The restorer itself, or that of a name or path, on the device."""
    from ssl_restore.restorer import Restorer  # noqa: PLC0415

    if isinstance(restorer, (str, Path)):
        return load(restorer, quality=quality, device=device)
    if not isinstance(restorer, Restorer):
        raise UserError(
            f"a restorer, a task or a path is expected, got {type(restorer).__name__}; see `load`",
            parameter="restorer",
        )
    if device != "auto":
        raise UserError(
            "is for a restorer that is given by name; this one stays where it is: "
            "restorer.to(device) moves it",
            parameter="device",
        )
    return restorer


def read(path: str | Path, *, max_pixels: int | None = None) -> Picture:
    """The picture in a file, upright, with all that its file says.

    PNG, JPEG, TIFF, WebP, AVIF, BMP, GIF, JPEG 2000, PNM, TGA and QOI are read, and with the extra
    `formats` HEIC, JPEG XL, OpenEXR and raw files of cameras.

    Args:
        path: The file; its content decides the format.
        max_pixels: Larger pictures are refused before they are decoded; None: 200 million.

    Returns:
        A `Picture`: `pixels` (H, W, 1 or 3) uint8 or uint16, or float32 where `levels` say what the
        numbers of its file mean; `alpha`, `icc`, `exif` and `metadata`.

    Raises:
        UserError: That names the file and the remedy, for one that is missing or damaged.
    """
    from ssl_restore.io import images  # noqa: PLC0415

    return images.read(path) if max_pixels is None else images.read(path, max_pixels=max_pixels)


def write(
    path: str | Path, image: Any, *, quality: int | None = None, overwrite: bool = False
) -> None:
    """Write an image in the format of the suffix: whole, or not at all.

    Args:
        path: .png, .tif, .jpg, .webp, .avif or .bmp.
        image: A `Picture`, an array of uint8 or uint16 (H, W), (H, W, 1) or (H, W, 3), or a Pillow
            image. Values of other types are refused, as rounding them is the caller's to decide.
        quality: Of a JPEG or AVIF, 1 to 100; None: as the JPEG it came from, else 95.
        overwrite: Replace a file that exists.

    Raises:
        UserError: For a file that exists, or a format that cannot hold the picture.
    """
    from ssl_restore.io import images  # noqa: PLC0415
    from ssl_restore.io.picture import as_picture  # noqa: PLC0415

    if Path(path).exists() and not overwrite:
        raise UserError(f"{path}: exists; `overwrite=True` replaces it, or give another name")
    images.write(path, as_picture(image), quality=quality)


def fit(
    images: str | Path | None = None,
    *,
    clean: str | Path | None = None,
    output: str | Path | None = None,
    task: str | None = None,
    recipe: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    from_scratch: bool = False,
    calibrate: bool = True,
    recursive: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Restorer:
    """Learn a restorer from a folder of degraded pictures; no clean versions are needed.

    Args:
        images: Folder of degraded pictures; None for a recipe that learns from clean ones alone.
        clean: Folder of clean photographs of other scenes; None takes those installed.
        output: Run folder: weights, log, samples; None: runs/NAME of the folder of images.
        task: What is removed; it names the recipe unless one is given. None: the recipe's, or rain.
        recipe: Name of a recipe, or the path of a file of your own.
        minutes: Training time; 15 unless `steps` are given.
        steps: Training steps instead: the result depends on the seed alone.
        settings: Of the recipe, by name; `ssl-restore recipes NAME` lists them.
        start: Checkpoint to start from; None: the built-in restorer.
        from_scratch: Start from random weights.
        calibrate: First measure the rain or noise of the images, and learn with such.
        recursive: Also the pictures in sub-folders.
        seed: Same seed, same draws.
        device: Where it learns.
        precision: As of `restore`.

    Returns:
        The restorer that was learned, ready to use.

    Raises:
        UserError: For folders or settings that nothing can be learned from.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.training import request, session  # noqa: PLC0415

    asked = request.Request(
        images=None if images is None else Path(images),
        clean=None if clean is None else Path(clean),
        output=None if output is None else Path(output), task=task, recipe=recipe,
        minutes=minutes, steps=steps, settings=settings or {},
        start=None if start is None else Path(start), from_scratch=from_scratch,
        calibrate=calibrate, recursive=recursive, seed=seed,
    )  # fmt: skip
    chosen = devices.start(device)
    with request.alone(asked.folder):
        job = request.start(asked, chosen)
        measure = discover.measure(job.recipe.task)
        judge = discover.judge(job.recipe.task)
        rows = session.train(
            job, precision=precision, measure=measure, judge=judge,
            notify=lambda line: warnings.warn(line, stacklevel=3),
        )  # fmt: skip
        for _ in rows:
            pass
    return load(job.run.weights, device=device)


def calibrate(
    images: str | Path | Sequence[str | Path],
    kind: str = "rain",
    *,
    limit: int | None = None,
    recursive: bool = False,
    device: str = "auto",
) -> RainCalibration | NoiseCalibration | HazeCalibration:
    """What the degradation of pictures looks like, in numbers with units.

    Args:
        images: A folder, a picture, or several pictures.
        kind: `rain`, `noise` or `haze`.
        limit: So many pictures, spread over them.
        recursive: Also the pictures in sub-folders.
        device: Where the rain or the haze is seen by the built-in restorer.

    Returns:
        A calibration: `summary()` in numbers, `write(path)` as a file, and of rain `prior()`, which
        draws rain like it.

    Raises:
        UserError: Where no picture can be measured, or none has rain.
    """
    from ssl_restore import device as devices  # noqa: PLC0415
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.io import images as files  # noqa: PLC0415

    if isinstance(images, (str, Path)):
        folder = Path(images)
        paths = files.find(folder, recursive=recursive) if folder.is_dir() else [folder]
    else:
        paths = [Path(path) for path in images]
    measure = discover.builder("calibration", kind, "calibrate")
    calibration: RainCalibration | NoiseCalibration | HazeCalibration
    calibration = measure(paths, devices.choose(device), limit=limit).calibration
    return calibration


def evaluate(
    degraded: str | Path,
    clean: str | Path | None = None,
    restorer: Restorer | str | Path = "derain",
    *,
    quality: str = "good",
    limit: int | None = None,
    pair: str | None = None,
    recursive: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> list[Score]:
    """Score a restorer on a folder, beside the untouched input.

    Args:
        degraded: Folder of degraded pictures.
        clean: Folder of their truths, paired by file name; None where there are none.
        restorer: What `load` returns, or what it takes.
        quality: As of `restore`.
        limit: Only the first so many pictures.
        pair: How names of pairs belong together, as `rain-{}=norain-{}`; None: they are the same.
        recursive: Also the pictures in sub-folders.
        device: Where a restorer that is given by name or path goes.
        precision: As of `restore`.

    Returns:
        A score for each picture and method (the input, the classical filter of the task, the
        restorer) with `name`, `method`, `seconds` and `scores`: psnr_rgb, ssim_rgb, psnr_y, ssim_y;
        without truths change, niqe, blur and, as the task has it, rain_left and texture_left.

    Raises:
        UserError: For folders without pairs, and for a pair of different sizes.
    """
    from ssl_restore import discover  # noqa: PLC0415
    from ssl_restore.evaluation import scoring  # noqa: PLC0415
    from ssl_restore.inference.wrappers import with_quality  # noqa: PLC0415

    restorer, precision = _computing(_loaded(restorer, device, quality), precision)
    task = discover.task(restorer.task)
    wrap = partial(with_quality, quality=quality)
    methods = scoring.methods(task, restorer, precision=precision, wrap=wrap)
    truths = None if clean is None else Path(clean)
    pairs, _ = scoring.pairs(Path(degraded), truths, limit=limit, pattern=pair, recursive=recursive)
    return [score for pair in pairs for score in scoring.measure(pair, methods, task.measure)]
