"""Contrastive losses compared: the same recipe, as many steps, three seeds.

    python benchmarks/ablation.py derain ./rainy/ ./clean/ --steps 400
    python benchmarks/ablation.py upscale ./photos/ ./sharp/ --steps 1000

`derain` fits the recipe `rrcl` from scratch to the rainy pictures, without a contrast and with each
that it knows, and scores it on them by the clean ones, which take no part in learning; with --warm
from the built-in derainer.  `retrieval` is the share of pictures whose features, averaged over the
coarsest level of the encoder, are nearer to the same scene in other rain than to another scene in
the same rain; one half would be chance.

`upscale` fits `pcl` to ./photos/ with and without its contrast and scores x2 on ./sharp/, made
smaller by the cubic filter.  PSNR over RGB: mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import real_rain
import torch
import upscale
from torch import Tensor
from torch.nn import functional as F

import ssl_restore
from degradations.rain import Rain
from degradations.sampling import degrade
from ssl_restore import rng
from ssl_restore.evaluation import metrics
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import eight_bit_rgb
from ssl_restore.restorer import Restorer

WEIGHT = 0.01  # of every contrast
DERAIN: dict[str, dict[str, Any]] = {"none": {"lambda_c": 0.0}} | {
    name: {"contrast": name, "lambda_c": WEIGHT}
    for name in ("scenes", "pictures", "layers", "pcl", "aecr", "triplet")
}
UPSCALE: dict[str, dict[str, Any]] = {
    "none": {"alpha": 0.0},
    "pcl": {},
    "aecr": {"contrast": "aecr", "alpha": 0.1},
    "triplet": {"contrast": "triplet", "alpha": 0.1},
}
FRAMES, CLIP_PX = 4, 960  # of a clip
RETRIEVED, SCENE_PX = 40, 256

Score = dict[str, float]


def fitted(given: argparse.Namespace, settings: dict[str, Any], seed: int) -> Restorer:
    derain = given.task == "derain"
    with tempfile.TemporaryDirectory() as folder:
        return ssl_restore.fit(
            given.photos if derain else None, clean=None if derain else given.photos,
            output=Path(folder) / "run", task=given.task, recipe="rrcl" if derain else "pcl",
            steps=given.steps, settings=settings, from_scratch=not given.warm, seed=seed,
        )  # fmt: skip


def derained(given: argparse.Namespace, restorer: Restorer) -> Score:
    scores = ssl_restore.evaluate(given.photos, given.truth, restorer, limit=given.limit)
    rows = [score.scores["psnr_rgb"] for score in scores if score.method == "restorer"]
    found = {"PSNR": float(np.mean(rows)), "retrieval": retrieval(restorer, given.truth)}
    for clip in sorted(given.clips.iterdir()) if given.clips else ():
        means = [
            real_rain.scores(place, np.asarray(ssl_restore.restore(place.frame, restorer)))
            for place in real_rain.places(clip, FRAMES, CLIP_PX, half=False)
        ]
        found[clip.stem] = float(np.mean(means, axis=0)[0])
    return found


@torch.no_grad()
def retrieval(restorer: Restorer, folder: Path, seed: int = 0) -> float:
    """Of scenes that are clean, with rain rendered on them."""
    encoder: Any = restorer.core.encoder
    draws, rows = rng.derive(seed, "retrieval"), []
    for path in images.find(folder)[:RETRIEVED]:
        whole = images.to_tensor(eight_bit_rgb(images.read(path).pixels))
        rows.append(whole[..., :SCENE_PX, :SCENE_PX])
    scenes = torch.cat(rows)
    one, other = (degrade(scenes, Rain(rain_free=0.0), draws) - scenes for _ in range(2))

    def seen(pictures: Tensor) -> Tensor:
        return F.normalize(encoder(pictures.clamp(0, 1))[-1].mean(dim=(2, 3)), dim=1)

    anchor, near, far = seen(scenes + one), seen(scenes + other), seen(scenes.roll(1, 0) + one)
    return float(((anchor * near).sum(dim=1) > (anchor * far).sum(dim=1)).float().mean())


def enlarged(given: argparse.Namespace, restorer: Restorer) -> Score:
    found = []
    for path in images.find(given.truth)[: given.limit]:
        whole = eight_bit_rgb(images.read(path).pixels)
        clean = whole[: whole.shape[0] // 2 * 2, : whole.shape[1] // 2 * 2]
        result = restore(restorer, upscale.smaller(clean, restorer.scale, None))
        found.append(metrics.psnr(result, clean))
    return {"PSNR": float(np.mean(found))}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n", 1)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=["derain", "upscale"])
    parser.add_argument("photos", type=Path, help="To learn from: rainy ones, or clean ones.")
    parser.add_argument("truth", type=Path, help="To score with.")
    parser.add_argument("--clips", type=Path, help="Folder of clips of real rain, to score, too.")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="Only the first so many pictures are scored.")
    parser.add_argument("--only", nargs="+", help="Of the contrasts.")
    parser.add_argument("--warm", action="store_true", help="From the built-in restorer.")
    given = parser.parse_args(arguments)
    kinds, score = (DERAIN, derained) if given.task == "derain" else (UPSCALE, enlarged)
    for name, settings in kinds.items():
        if given.only and name not in given.only:
            continue
        rows, start = [], time.perf_counter()
        for seed in range(given.seeds):
            rows.append(score(given, fitted(given, settings, seed)))
        seconds = (time.perf_counter() - start) / given.seeds
        means = "  ".join(
            f"{key} {np.mean([row[key] for row in rows]):6.2f} +- "
            f"{np.std([row[key] for row in rows]):.2f}"
            for key in rows[0]
        )
        print(f"{name:10} {means}  ({seconds:.0f} s each, scores included)", flush=True)


if __name__ == "__main__":
    main()
