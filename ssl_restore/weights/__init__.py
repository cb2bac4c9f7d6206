"""The networks that are installed with the package, with a model card beside each."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
SMALLER = ("denoise",)  # tasks with a smaller network, too
MIXED = ("derain",)  # with an `expert` and a `gate`
SPARING = ("dedrop",)  # that leave a picture in which they find next to nothing


def built_in(task: str, quality: str = "good") -> Path:
    """The restorer that the command of that name uses and `fit` starts from, or for `fast` the
    smaller one, where the task has it; may be missing."""
    own = "_fast" if quality == "fast" and task in SMALLER else ""
    return FOLDER / f"{task}{own}.safetensors"


def expert(task: str) -> Path:
    """Another restorer of a task of `MIXED`, for pictures that suit it better as its `gate`
    tells."""
    return FOLDER / f"{task}_thin.safetensors"


def gate(task: str) -> Path:
    """What chooses between the `expert` and the built-in restorer of the task."""
    return FOLDER / f"{task}_gate.safetensors"


def parts(path: Path) -> tuple[Path, ...]:
    """All files that belong to one of weights: those of a built-in restorer with an `expert`."""
    if _is_built_in(path, MIXED):
        task = path.resolve().stem
        return path, expert(task), gate(task)
    return (path,)


def spares(path: Path) -> bool:
    """Whether it is the built-in restorer of a task of `SPARING`."""
    return _is_built_in(path, SPARING)


def _is_built_in(path: Path, tasks: tuple[str, ...]) -> bool:
    task = path.resolve().stem
    return task in tasks and path.resolve() == built_in(task).resolve()


def veil() -> Path:
    """The dehazer for pictures from which rain was removed: `derain --veil`."""
    return built_in("veil")


def upscale(scale: int) -> Path:
    """The built-in restorer that enlarges so many times: 2 or 4."""
    return built_in("upscale" if scale == 2 else f"upscale_x{scale}")


def rain_layer() -> Path:
    """The restorer whose layers `rain_estimator` reads: it has learned from those of this one."""
    return FOLDER / "rain_layer.safetensors"


def rain_estimator() -> Path:
    """What `calibrate` estimates the numbers of rain with."""
    return FOLDER / "rain_estimator.safetensors"
