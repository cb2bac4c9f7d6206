"""What a run learns from: the folders of its pictures, and the patches drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ssl_restore import rng
from ssl_restore.errors import UserError, WrongCall
from ssl_restore.io import images
from ssl_restore.training import clips, data, observations, pairs
from ssl_restore.training.run import RunPlan
from ssl_restore.types import Recipe

LOADERS = {"observations": observations.load, "places": clips.load}  # of kinds that are no folder
DRAWS = {"observations": data.observations, "places": data.views}


def sources(plan: RunPlan, recipe: Recipe) -> dict[str, Path]:
    """The folder of each kind of picture that a recipe needs."""
    found: dict[str, Path] = {}
    for kind in ("degraded", "observations", "places"):
        if kind in recipe.needs:
            if plan.images is None:
                raise WrongCall(
                    f"recipe {plan.recipe} learns from degraded pictures; give a folder of them",
                    parameter="images",
                )
            found[kind] = Path(plan.images)
    if recipe.paired and plan.clean is None:
        raise WrongCall("give the folder of the pairs' clean pictures", parameter="clean")
    if "clean" in recipe.needs:
        found["clean"] = Path(plan.clean) if plan.clean is not None else bundled_photographs()
    if (
        found.get("clean")
        and plan.images
        and found["clean"].resolve() == Path(plan.images).resolve()
    ):
        raise UserError(
            f"{found['clean']} is the folder of degraded pictures; give "
            + (
                "that of the clean pictures of the same names"
                if recipe.paired
                else "one of clean photographs of other scenes, or none to use those installed "
                "with the package"
            ),
            parameter="clean",
        )
    return found


def bundled_photographs() -> Path:
    """The clean photographs installed with the package."""
    import ssl_restore_samples  # noqa: PLC0415  (data only; needed by this function alone)

    folder: Path = ssl_restore_samples.photographs()
    return folder


def load(
    plan: RunPlan, recipe: Recipe, on_read: Callable[[Path], None]
) -> dict[str, data.Pictures]:
    """The pictures of each kind that a recipe needs, in pairs where it learns from them."""
    found, seed = sources(plan, recipe), plan.seed
    if not recipe.paired:
        return {kind: _load(kind, folder, plan, recipe, on_read) for kind, folder in found.items()}
    degraded, clean = pairs.load(
        found["degraded"], found["clean"], patch=recipe.patch, scale=recipe.restorer.scale,
        seed=seed, recursive=plan.recursive, on_read=on_read,
    )  # fmt: skip
    _refuse_none(found["degraded"], degraded)
    return {"degraded": degraded, "clean": clean}


def _load(
    kind: str, folder: Path, plan: RunPlan, recipe: Recipe, on_read: Callable[[Path], None]
) -> data.Pictures:
    patch, seed = recipe.patch, plan.seed
    if kind in LOADERS:
        pictures = LOADERS[kind](folder, patch=patch, seed=seed, on_read=on_read)
    else:
        left_out: list[str] = []
        paths = images.find(folder, recursive=plan.recursive, notify=left_out.append)
        pictures = data.load(paths, patch=patch, seed=seed, on_read=on_read)
        pictures = replace(pictures, notes=(*pictures.notes, *left_out))
    _refuse_none(folder, pictures)
    return pictures


def _refuse_none(folder: Path, pictures: data.Pictures) -> None:
    if not pictures.pixels:
        small = "smaller than the patch" in pictures.skipped[0]
        remedy = "; for small pictures try `patch=24`" if small else ""
        raise UserError(f"{folder}: no picture there can be used ({pictures.skipped[0]}){remedy}")


def draw(
    pictures: dict[str, data.Pictures], recipe: Recipe, seed: int, number: int
) -> dict[str, Tensor]:
    """Patches of each kind, of the step of that number."""
    count, size = recipe.batch, recipe.patch
    if recipe.paired:
        degraded, clean = pairs.draw(
            pictures["degraded"], pictures["clean"], count, size,
            rng.derive(seed, "pairs", number), upright=recipe.upright,
        )  # fmt: skip
        return {"degraded": degraded, "clean": clean}
    return {
        kind: DRAWS.get(kind, data.patches)(
            found, count, size, rng.derive(seed, kind, number),
            upright=kind != "clean" and recipe.upright, shrink=recipe.shrink,
        )
        for kind, found in pictures.items()
    }  # fmt: skip
