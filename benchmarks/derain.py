"""The table of deraining: filters, the built-in restorer, a fitted one, a supervised bound.

    python benchmarks/derain.py --pairs ./set/ --weights runs/mine/restorer.safetensors
    python benchmarks/derain.py --pairs ./set/ --minutes 15 -o runs/mine --sheet sheet.png
    python benchmarks/derain.py --pairs ./set/ --minutes 15 -o runs/bound --no-fit --supervised
    python benchmarks/derain.py --real ./rainy/ ./restored/

--pairs DIR holds DIR/rainy and DIR/clean, paired by name; scores and times are those of `evaluate`.

-o RUN with --minutes or --steps fits a restorer to DIR/rainy, unless --weights are given; it never
sees DIR/clean.  --supervised learns from true pairs, with the network, optimizer, batch and patch
of the recipe, in --folds parts: each is scored by a restorer that learned from the others, for as
long as `fit` does.  Pictures of one scene are in one part.  Run again, parts found in RUN are kept.

--real prints medians of what `ssl_restore/streak_energy.py` measures without a truth; with
DIR/clean as the restored folder, what the truth would reach.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ssl_restore import device, discover, rng, weights
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration import rain_estimator
from ssl_restore.errors import UserError
from ssl_restore.evaluation import scoring
from ssl_restore.evaluation.baselines import opening_1x5
from ssl_restore.evaluation.scenes import parts, scenes
from ssl_restore.evaluation.scoring import Method, Pair, Score
from ssl_restore.evaluation.streak_energy import SIGMA_PX, streak_energy, texture_energy
from ssl_restore.inference.fine_to_coarse import restore_pixels
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.training import checkpoint, data, session, warm_start
from ssl_restore.training.fit import fit
from ssl_restore.training.run import RunPlan
from ssl_restore.types import Batch, Player, Recipe

SIDE_PX = 320  # of a picture on the sheet
SUPERVISED = {"scratch": "sup. scratch", "builtin": "sup. built-in"}
Photos = tuple[Pixels, Pixels]  # rainy and clean, (H, W, 3) uint8 each

FLOOR = "opening 1x5"


def median(pixels: Pixels) -> Pixels:
    return cv2.medianBlur(pixels, 5).reshape(pixels.shape)


def guided(pixels: Pixels, radius_px: int = 4, eps: float = 0.01) -> Pixels:
    """Guided filter of each channel by itself, display units (He et al., TPAMI 2013, eq. 5 to 8):
    q = mean(a) I + mean(b),   a = var(I) / (var(I) + eps),   b = (1 - a) mean(I)."""
    side = 2 * radius_px + 1
    mean = partial(cv2.blur, ksize=(side, side), borderType=cv2.BORDER_REFLECT)
    image = pixels.astype(np.float32) / 255
    level = mean(image)
    variance = (mean(image**2) - level**2).clip(0)
    a = variance / (variance + eps)
    smooth = mean(a) * image + mean((1 - a) * level)
    return (255 * smooth).round().clip(0, 255).astype(np.uint8)


def method(path: Path | None, on: torch.device) -> Method:
    """The restorer of a checkpoint, or the built-in one."""
    restorer = load_restorer(path, on, task="derain")
    return lambda pixels: restore_pixels(restorer, pixels, scale=None)


def read(pair: Pair) -> Photos:
    """Rainy and clean, (H, W, 3) uint8 each; UserError for what cannot be read or compared."""
    assert pair.clean is not None
    found = data.load([pair.degraded, pair.clean], patch=1)
    if found.skipped:
        raise UserError(found.skipped[0])
    rainy, clean = found.pixels
    if rainy.shape != clean.shape:
        raise UserError(f"{pair.name}: the sizes are {rainy.shape[:2]} and {clean.shape[:2]}")
    return rainy, clean


class PairedRain(nn.Module):
    """restore = relative(charbonnier(restorer(rainy) - clean)): `degraded` and `clean` are pairs,
    which no recipe of the project may have."""

    def __init__(self, restorer: nn.Module) -> None:
        super().__init__()
        self.restorer = restorer

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return {"restore": relative(charbonnier(self.restorer(batch.degraded) - batch.clean))}


@dataclass(frozen=True)
class Learning:
    """How long, with what, where and from which random numbers the restorers learn."""

    recipe: str
    changes: dict[str, Any]  # of its settings
    steps: int | None
    seconds: float | None
    seed: int
    device: torch.device

    def build(self) -> Recipe:
        torch.manual_seed(self.seed)
        recipe: Recipe = discover.builder("recipes", self.recipe)(**self.changes)
        return recipe


def supervise(recipe: Recipe, pairs: Sequence[Photos], how: Learning) -> str:
    """Teach the average of a recipe from pairs; tells how far it came."""
    for module in (recipe.restorer, recipe.ema):
        module.to(device=how.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    player = Player(PairedRain(recipe.restorer), {"restore": 1.0}, recipe.players[0].optimizer)
    kinds = [data.Pictures(pictures, (), "") for pictures in zip(*pairs, strict=True)]

    def draw(step: int, progress: float) -> Batch:
        rainy, clean = (  # one stream for both: the same places
            data.patches(
                pictures, recipe.batch, recipe.patch, rng.derive(how.seed, "paired", step),
                upright=True,
            ).to(how.device, memory_format=torch.channels_last)
            for pictures in kinds
        )  # fmt: skip
        return Batch(clean, rainy, progress)

    told = ""
    paired = replace(recipe, players=(player,))
    for row in fit(paired, draw, seed=how.seed, steps=how.steps, seconds=how.seconds):
        told = f"{row.step} steps, {row.seconds:.0f} s"
    return told


def bound(
    pairs: Mapping[str, Photos], part: Sequence[int], start: str, how: Learning, folder: Path
) -> dict[str, Method]:
    """For each picture by name, a restorer that learned from the pairs of the other parts."""
    found: dict[int, Method] = {}
    for aside in sorted(set(part)):
        learned = [name for name, own in zip(pairs, part, strict=True) if own != aside]
        recipe = how.build()
        if start == "builtin":
            trained = warm_start.default_start(recipe)
            if trained is None:
                raise UserError("no built-in restorer is of the recipe's network")
            recipe = warm_start.start_from(recipe, Path(trained))
        told: dict[str, object] = {"steps": how.steps, "seconds": how.seconds, "learned": learned}
        header = checkpoint.Header(
            recipe.task, recipe.network, recipe.keywords, f"supervised {start}", told, seed=how.seed
        )
        path = folder / f"supervised_{start}_{aside}.safetensors"
        if path.exists() and checkpoint.read_header(path) == header:
            say(f"{path}: kept")
        else:
            far = supervise(recipe, [pairs[name] for name in learned], how)
            checkpoint.save(path, recipe.ema, header)
            say(f"{path}: {len(learned)} pairs, {far}")
        found[aside] = method(path, how.device)
    return {name: found[own] for name, own in zip(pairs, part, strict=True)}


def fitted(rainy: Path, clean: Path | None, how: Learning, folder: Path) -> Path:
    """`fit` on a folder of rainy pictures, as the command does it; its weights."""
    plan = RunPlan(
        recipe=how.recipe,
        settings={**discover.settings(discover.builder("recipes", how.recipe)), **how.changes},
        seed=how.seed, steps=how.steps, seconds=how.seconds, images=str(rainy.resolve()),
        clean=None if clean is None else str(clean.resolve()),
        start=warm_start.default_start(how.build()),
    )  # fmt: skip
    if session.wants_calibration(plan):
        plan, failure = session.with_calibration(plan, folder, how.device)
        if failure is not None:
            say(failure)
    job = session.prepare(plan, folder, how.device)
    told = ""
    for row in session.train(job):
        told = f"{row.step} steps, {row.seconds:.0f} s"
    say(f"fitted: {told}")
    return job.run.weights


def learners(
    photos: Mapping[str, Photos], options: argparse.Namespace
) -> dict[str, dict[str, Method]]:
    """Of each learned row of the table, the method for each picture by name."""
    changes = discover.parse_settings(discover.builder("recipes", options.recipe), options.changes)
    seconds = None if options.minutes is None else 60 * options.minutes
    how = Learning(
        options.recipe, changes, options.steps, seconds, options.seed, options.device
    )  # fmt: skip
    files: list[Path | None] = [None, *options.weights]
    if options.fits:
        files.append(fitted(options.pairs / "rainy", options.clean, how, options.output))
    rows: dict[str, dict[str, Method]] = {}
    for path in files:
        name = "built-in" if path is None else path.stem
        name = path.absolute().parent.name if path and name == "restorer" else name
        name = name[:14] if name[:14] not in rows else f"{name[:11]} {len(rows)}"
        rows[name] = dict.fromkeys(photos, method(path, options.device))
    if options.supervised:
        options.output.mkdir(parents=True, exist_ok=True)
        scene = scenes({name: clean for name, (_, clean) in photos.items()}, options.scenes)
        part = parts(scene, options.folds, options.seed)
        say(f"{len(set(scene))} scenes in {len(set(part))} parts")
        for start in options.supervised_start:
            rows[SUPERVISED[start]] = bound(photos, part, start, how, options.output)
    return rows


def table(options: argparse.Namespace) -> list[str]:
    """The lines of the table; writes --csv and --sheet."""
    folders = options.pairs / "rainy", options.pairs / "clean"
    pairs, skipped = scoring.pairs(*folders, limit=options.limit)
    photos = {pair.name: read(pair) for pair in pairs}  # all are read before anything is learned
    learned = learners(photos, options)
    filters: dict[str, Method] = {
        "input": lambda pixels: pixels, "median 5x5": median, "guided filter": guided,
        FLOOR: opening_1x5,
    }  # fmt: skip
    rows: list[Score] = []
    for pair in pairs:
        methods = filters | {name: each[pair.name] for name, each in learned.items()}
        rows += scoring.measure(pair, methods)
    for line in skipped:
        say(line)
    if options.csv is not None:
        scoring.write_csv(options.csv, rows)
    if options.sheet is not None:
        shown = chosen(rows, options.pictures, options.worst)
        images.write(options.sheet, Picture(sheet({n: photos[n] for n in shown}, learned)))
    return [f"{len(pairs)} pictures", *scoring.table(rows)]


def chosen(rows: Sequence[Score], count: int, worst: bool) -> list[str]:
    """Names of pictures spread over the folder, or of the lowest PSNR of the last method."""
    last = {row.name: row.scores["psnr_rgb"] for row in rows if row.method == rows[-1].method}
    if worst:
        return sorted(last, key=lambda name: last[name])[:count]
    places = np.linspace(0, len(last) - 1, min(count, len(last))).round().astype(int)
    return [list(last)[place] for place in places]


def sheet(photos: Mapping[str, Photos], learned: Mapping[str, Mapping[str, Method]]) -> Pixels:
    """A row a picture: input, opening, every learned restorer, truth; the middle of each."""
    heads = ["input", FLOOR, *learned, "truth"]
    rows = [np.hstack([_captioned(head) for head in heads])]
    for name, (rainy, clean) in photos.items():
        restored = [each[name](rainy) for each in learned.values()]
        shown = [rainy, opening_1x5(rainy), *restored, clean]
        rows.append(np.hstack([_middle(pixels) for pixels in shown]))
    return np.vstack(rows)


def _captioned(text: str) -> Pixels:
    bar = np.full((24, SIDE_PX, 3), 255, np.uint8)
    return cv2.putText(bar, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)


def _middle(pixels: Pixels) -> Pixels:
    """The middle at its own resolution on a white square, with a gap."""
    side = SIDE_PX - 4
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    crop = pixels[top : top + side, left : left + side]
    square = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    square[: crop.shape[0], : crop.shape[1]] = crop
    return square


@torch.inference_mode()
def remaining(before: Path, after: Path, on: torch.device, limit: int | None = None) -> list[str]:
    """What became of streak and of other energy between two folders: medians and quartiles.

    Angle and width of the streaks are those of the calibration.  Pictures in which it finds no
    rain, or the streak energy is not positive, are left out.
    """
    restorer = load_restorer(weights.rain_layer(), on, task="derain")
    estimator = rain_estimator.load(weights.rain_estimator()).to(on)
    pairs, skipped = scoring.pairs(before, after, limit=limit)
    removed, changed, rain_free = [], [], 0
    for pair in pairs:
        try:
            tensors = [images.to_tensor(pixels).to(on) for pixels in read(pair)]
            rain = rain_calibration.measure(pair.name, tensors[0][0], restorer, estimator)
        except UserError as error:
            skipped.append(str(error))
            continue
        # Of a Gaussian's width at half its height; a third of a small picture must be left.
        angle = tensors[0].new_tensor([rain.rain.angle_rad])
        sigma = max(SIGMA_PX, min(rain.rain.width_px / 2.355, min(tensors[0].shape[2:]) / 72))
        old, new = (
            (streak_energy(x, angle, sigma).item(), texture_energy(x, angle, sigma).item())
            for x in tensors
        )
        if rain.probability < rain_calibration.RAINY_FROM or old[0] <= 0 or old[1] <= 0:
            rain_free += 1
            continue
        removed.append(100 * (1 - new[0] / old[0]))
        changed.append(100 * (new[1] / old[1] - 1))
    for line in skipped:
        say(line)
    lines = [
        f"{before} -> {after}: {len(removed)} pictures, {rain_free} more without measurable rain"
    ]
    if removed:
        lines += [
            f"{what:30}{middle:+8.1f} %   quartiles {low:+.1f} to {high:+.1f}"
            for what, values in (("streak energy, reduction", removed), ("other energy", changed))
            for low, middle, high in [np.quantile(values, (0.25, 0.5, 0.75))]
        ]
    return lines


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--pairs", type=Path, help="Folder with rainy/ and clean/.")
    add("--limit", type=int, help="Only the first so many pictures.")
    add("--weights", type=Path, action="append", default=[], help="Checkpoint; may be repeated.")
    add("--minutes", type=float, help="Of `fit`, and of each part of --supervised.")
    add("--steps", type=int, help="Instead of --minutes; repeatable exactly on one machine.")
    add("-o", "--output", type=Path, help="Run folder.")
    add("--no-fit", action="store_true")
    add("--recipe", default="derain_unpaired", help="Of `fit` and, but for its loss, the bound.")
    add("--set", dest="changes", action="append", default=[], metavar="K=V", help="As in `fit`.")
    add("--clean", type=Path, help="Clean photographs for `fit`, of other scenes.")
    add("--supervised", action="store_true")
    add("--supervised-start", nargs="+", choices=SUPERVISED, default=["scratch"])
    add("--folds", type=int, default=5)
    add("--scenes", type=Path, help="JSON: name of a picture without suffix -> scene.")
    add("--csv", type=Path, help="Write a row a picture and method.")
    add("--sheet", type=Path, help="Write a sheet of pictures.")
    add("--pictures", type=int, default=4, help="On the sheet.")
    add("--worst", action="store_true", help="On the sheet those of the last row's lowest PSNR.")
    add("--real", type=Path, nargs=2, action="append", default=[], metavar=("DIR", "RESTORED"))
    add("--seed", type=int, default=0)
    add("--device", default="auto")
    options = parser.parse_args(arguments)
    if options.pairs is None and not options.real:
        parser.error("give --pairs or --real")
    options.fits = options.output is not None and not (options.weights or options.no_fit)
    ready = options.output is not None and (options.minutes is None) != (options.steps is None)
    if (options.fits or options.supervised) and not ready:
        parser.error("to learn, give -o and either --minutes or --steps")
    options.device = device.choose(options.device)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    lines = table(options) if options.pairs is not None else []
    for before, after in options.real:
        lines += remaining(before, after, options.device, options.limit)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
