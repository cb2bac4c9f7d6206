"""Makes the estimator of `calibrate` and measures it, on rain of which everything is known.

    python benchmarks/calibration.py ./photos/ --pictures 6400 -o rain_estimator.safetensors
    python benchmarks/calibration.py ./photos/ --measure rain_estimator.safetensors --pictures 40
    python benchmarks/calibration.py ./rainy/ --pairs ./clean/ --measure rain_estimator.safetensors

Renders rain of all kinds on photographs, dims, blurs by JPEG and makes noisy, looks at the picture
as `calibrate` does, and regresses the numbers of the rain on what is seen. A fifth of the
photographs is kept aside, and the errors on them are printed and stored in the file. `--measure`
prints those of a finished estimator on other photographs. `--pairs` compares its numbers with
those of the true layers: amounts are taken from the layer itself, sizes are read from it by an
estimator that learns, there and then, from rendered layers without any picture behind. Amounts of
rain that is rendered anew from the numbers stand beside them (`rendered`).
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from degradations.populations import Populations, draw_streaks, with_farther
from degradations.rain import Rain
from degradations.rain_like import RainLike, Uncertainty
from degradations.sensor import quantise
from degradations.streaks import RainParams, streak_layer
from degradations.types import uniform
from ssl_restore import rng, weights
from ssl_restore.calibration import rain as rain_calibration
from ssl_restore.calibration import rain_estimator
from ssl_restore.calibration.rain_estimator import (
    LOGARITHMIC,
    NAMES,
    RainEstimator,
    from_scale,
    to_scale,
)
from ssl_restore.calibration.rain_statistics import statistics
from ssl_restore.device import thread_pool
from ssl_restore.inference.load import load_restorer
from ssl_restore.io import images
from ssl_restore.training import data
from ssl_restore.training.fit import fit
from ssl_restore.types import Batch, Learning, Player

HEIGHT, WIDTH, BATCH = 320, 480, 4
RAIN_FREE = NAMES.index("rain_free")
PRIOR = Rain(
    rain_free=0.1, angle_rad=(-0.9, 0.9), populations=(1, 2),
    coverage=(0.005, 1.0), width_px=(0.5, 6.0),
    length_px=(6, 120), brightness=(0.04, 0.9), ripple=(0, 1), ripple_px=(5, 80), veil=0.3,
    ceiling=(0.4, 10), transmission=(0.5, 1.0), width_spread=(0.02, 0.35), far=(0, 0.6),
)  # fmt: skip
PLAIN = Rain(  # a corner of it that means would be drawn away from: single, alike streaks
    rain_free=0.05,
    angle_rad=(-0.9, 0.9), populations=(1, 1), coverage=(0.01, 0.8), width_px=(0.5, 6.0),
    length_px=(6, 120), brightness=(0.05, 0.9), ripple=(0, 0), depth_share=(0, 0),
    length_spread=(0.01, 0.3), width_spread=(0.01, 0.3), brightness_spread=(0.01, 0.4),
    angle_spread_rad=(0.003, 0.04), veil=0.15, ceiling=(0.8, 10), transmission=(0.5, 1.0),
)  # fmt: skip
ONE_KIND = Rain(  # as the sets of the literature have it: one population, no veil
    rain_free=0,
    angle_rad=(-0.7, 0.7), populations=(1, 1), coverage=(0.03, 0.5), width_px=(0.8, 4.0),
    length_px=(12, 80), brightness=(0.1, 0.6), ripple=(0, 0), ceiling=(1, 10),
    length_spread=(0.05, 0.3), width_spread=(0.05, 0.3), brightness_spread=(0.1, 0.4),
)  # fmt: skip
Seen = tuple[Tensor, Tensor, Tensor, Tensor]  # angle seen and drawn (N,), seen (N, K, F), numbers


def background(photo: np.ndarray, generator: torch.Generator) -> Tensor:
    """(3, H, W): a window of a photograph at a scale of its own, mirrored or not, dimmer or not."""
    draw = torch.rand(5, generator=generator).tolist()
    height, width = photo.shape[:2]
    least = max(HEIGHT / height, WIDTH / width)
    scale = least if least >= 1 else least ** draw[0]
    side = max(WIDTH, round(width * scale)), max(HEIGHT, round(height * scale))
    scaled = cv2.resize(photo, side, interpolation=cv2.INTER_AREA if scale < 1 else 2)
    top, left = (int(d * (n - m + 1)) for d, n, m in zip(
        draw[1:3], scaled.shape[:2], (HEIGHT, WIDTH), strict=True))  # fmt: skip
    window = images.to_tensor(scaled[top : top + HEIGHT, left : left + WIDTH])[0]
    return (window.flip(2) if draw[3] < 0.5 else window) * (0.5 + 0.7 * draw[4])


def stored(picture: Tensor, generator: torch.Generator) -> Tensor:
    """(3, H, W) after noise, in two of five, and JPEG, in half of them."""
    draw = torch.rand(4, generator=generator).tolist()
    if draw[0] < 0.4:
        picture = picture + 0.02 * draw[1] * torch.randn(picture.shape, generator=generator)
    picture = quantise(picture)
    if draw[2] < 0.5:
        pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        quality = [cv2.IMWRITE_JPEG_QUALITY, 75 + int(24 * draw[3])]
        read = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR)
        assert read is not None
        picture = images.to_tensor(np.asarray(read, np.uint8))[0]
    return picture


def rain_of(prior: Rain, generator: torch.Generator) -> tuple[Populations, RainParams, Tensor]:
    """What is to be told, populations and streaks without the far ones, and the layer of all."""
    drawn = prior.populate(BATCH, generator)
    shape = (BATCH, 3, HEIGHT, WIDTH)
    params = draw_streaks(drawn, shape, generator)
    share = uniform(prior.far, (BATCH,), generator)
    streaks = with_farther(params, drawn, share, shape, generator)
    return drawn, params, streak_layer(streaks, HEIGHT, WIDTH)


def simulated(photos: data.Pictures, prior: Rain, count: int, seed: int) -> Seen:
    """`count` pictures of rain; the same whatever the number of processors."""
    restorer = load_restorer(weights.rain_layer(), torch.device("cpu"), task="derain")

    @torch.no_grad()
    def some(number: int) -> Seen:
        generator = rng.derive(seed, "calibration", number)
        chosen = torch.randint(len(photos.pixels), (BATCH,), generator=generator).tolist()
        clean = torch.stack([background(photos.pixels[i], generator) for i in chosen]).clamp(max=1)
        drawn, params, layer = rain_of(prior, generator)
        t, airlight = (v.view(-1, 1, 1, 1) for v in (params.transmission, params.airlight))
        rainy = torch.cat(
            [
                rain_estimator.windows(stored(picture, generator))
                for picture in t * (clean + layer) + (1 - t) * airlight
            ]
        )
        angle, seen = rain_estimator.observe(rainy, restorer, BATCH)
        area = params.length_px * params.width_px * params.present
        true = (area * params.angle_rad).sum(1) / area.sum(1)
        return angle, true, seen, rain_estimator.numbers(drawn, params, layer)

    with thread_pool(torch.get_num_threads(), each=1) as pool:
        found = list(pool.map(some, range(math.ceil(count / BATCH))))
    return tuple(torch.cat(part) for part in zip(*found, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class Known(Batch):
    """Features of windows, and the numbers of the rain, of which some count."""

    features: Tensor | None = None  # (B, K, F)
    wanted: Tensor | None = None  # (B, NAMES)
    counts: Tensor | None = None  # (B, NAMES) of zeros and ones
    rain_free: Tensor | None = None  # (B,)


class Regression(nn.Module):
    """Terms: `error`, Huber's in units of the spread, and `rain_free`, the entropy of that."""

    def __init__(self, estimator: RainEstimator, spread: Tensor) -> None:
        super().__init__()
        self.estimator = estimator
        self.spread = spread

    def forward(self, batch: Known, generator: torch.Generator) -> dict[str, Tensor]:
        assert batch.counts is not None
        assert batch.rain_free is not None
        predicted = self.estimator(batch.features)
        error = (predicted - batch.wanted) / self.spread
        loss = nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.3)
        counted, counts = loss * batch.counts, batch.counts[:, :RAIN_FREE]
        return {
            "error": counted[:, :RAIN_FREE].sum() / counts.sum(),
            "rain_free": nn.functional.binary_cross_entropy_with_logits(
                predicted[:, RAIN_FREE], batch.rain_free
            ),
        }


def one_cycle(progress: float) -> float:
    """Up to 1 over the first three tenths, from 1/25, then down to nearly 0, by cosines."""
    rise = 0.3
    share = progress / rise if progress < rise else (1 - progress) / (1 - rise)
    low = 0.04 if progress < rise else 4e-6
    return low + (1 - low) * (1 - math.cos(math.pi * share)) / 2


def regression(seen: Tensor, numbers: Tensor, epochs: int = 60) -> RainEstimator:
    """Huber loss in units of the spread; dry pictures teach only that they are dry."""
    torch.manual_seed(0)
    estimator = RainEstimator(seen.shape[2])
    wanted = to_scale(numbers)
    counts = wanted.isfinite() & (numbers[:, RAIN_FREE] == 0)[:, None]
    wanted = torch.where(counts, wanted, 0)
    mean = wanted.sum(0) / counts.sum(0)
    spread = (torch.where(counts, wanted - mean, 0).square().sum(0) / counts.sum(0)).sqrt()
    mean[RAIN_FREE], spread[RAIN_FREE] = 0, 1  # a logit
    estimator.feature_mean, estimator.predicted_mean = seen.flatten(0, 1).mean(0), mean
    estimator.feature_spread = seen.flatten(0, 1).std(0) + 1e-3
    estimator.predicted_spread = spread
    steps = epochs * math.ceil(len(seen) / 64)
    shuffled = chain.from_iterable(torch.randperm(len(seen)).split(64) for _ in range(epochs))

    def draw(step: int, progress: float) -> Known:
        rows, windows = next(shuffled), int(torch.randint(3, 7, ()))
        some = torch.randperm(seen.shape[1])[:windows]
        return Known(
            clean=None, degraded=None, progress=progress, features=seen[rows][:, some],
            wanted=wanted[rows], counts=counts[rows].float(), rain_free=numbers[rows, RAIN_FREE],
        )  # fmt: skip

    player = Player(
        Regression(estimator, spread), {"error": 1.0, "rain_free": 0.3},
        torch.optim.AdamW(estimator.parameters(), lr=2e-3, weight_decay=0.3),
        schedule=lambda step, progress: one_cycle((step + 0.5) / steps),
        largest_gradient=math.inf,
    )  # fmt: skip
    for _ in fit(Learning(players=(player,)), draw, seed=0, steps=steps, parts=1, precision="fp32"):
        pass
    rain_free = float(numbers[:, RAIN_FREE].mean())
    mean[RAIN_FREE] = math.log((1 - rain_free) / rain_free)  # of even odds instead of those learned
    return estimator.eval()


@torch.inference_mode()
def measure(estimator: RainEstimator, known: Seen) -> Tensor:
    """Print the errors; standard deviations (NAMES,) of the errors, from their quartiles."""
    angle, drawn, seen, numbers = known
    told, wanted, wet = estimator(seen), to_scale(numbers), numbers[:, RAIN_FREE] == 0
    off = (angle - drawn + math.pi / 2) % math.pi - math.pi / 2
    degrees = math.degrees(off[wet].abs().median())
    print(f"{int(wet.sum())} pictures of rain; angle: median error {degrees:.1f} degrees")
    right = (told[:, RAIN_FREE] > 0) == (numbers[:, RAIN_FREE] > 0)
    print(f"rain or none: {right.float().mean():.1%} right, of {len(right)}")
    spreads = torch.zeros(len(NAMES))
    for i, name in enumerate(NAMES[:-1]):
        kept = wet & wanted[:, i].isfinite()
        if not kept.any():  # the crests of rain that does not ripple
            continue
        pair = torch.stack([told[kept, i], wanted[kept, i]])
        low, high = (pair[0] - pair[1]).quantile(torch.tensor([0.16, 0.84]))
        spreads[i] = (high - low) / 2
        line = f"{name}: correlation {torch.corrcoef(pair)[0, 1]:.2f}, median error "
        value, true = from_scale(told)[kept, i], numbers[kept, i]
        if name in LOGARITHMIC and name != "optical_depth" and (true > 0).all():
            part = value / true - 1
            print(f"{line}{part.abs().median():.0%}, bias {part.median():+.0%}")
        else:
            print(f"{line}{(value - true).abs().median():.2f}")
    return spreads


def bare(count: int) -> tuple[Tensor, Tensor]:
    """Statistics (N, K, F) and numbers (N, NAMES) of rendered layers without a picture behind."""

    @torch.no_grad()
    def some(number: int) -> tuple[Tensor, Tensor]:
        generator = rng.derive(2, "calibration", number)
        drawn, params, layer = rain_of(PRIOR, generator)
        return layer_statistics(quantise(layer)), rain_estimator.numbers(drawn, params, layer)

    with thread_pool(torch.get_num_threads(), each=1) as pool:
        found = list(pool.map(some, range(math.ceil(count / BATCH))))
    seen, numbers = (torch.cat(part) for part in zip(*found, strict=True))
    return seen, numbers


def layer_statistics(layers: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B, K, F)"""
    parts = torch.cat([rain_estimator.windows(layer) for layer in layers])
    each = len(parts) // len(layers)
    angle = rain_estimator.common_angle(parts, len(layers)).repeat_interleave(each)
    return statistics(parts, angle).features().unflatten(0, (len(layers), each))


def amounts_of(layer: Tensor) -> tuple[float, float, float]:
    """Mean, tail and visible share of a rain layer (1, H, W)."""
    visible = (layer > rain_estimator.VISIBLE).float()
    return layer.mean().item(), layer.quantile(rain_estimator.TAIL).item(), visible.mean().item()


@torch.inference_mode()
def compare(rainy: Path, clean: Path, estimator: RainEstimator, reader: RainEstimator) -> None:
    """Print correlations and medians over pairs of pictures; `reader` reads the true layers."""
    restorer = load_restorer(weights.rain_layer(), torch.device("cpu"), task="derain")
    rows: list[tuple[float, ...]] = []
    generator = rng.derive(3, "calibration", 0)
    amounts = ("mean", "tail", "visible_share")
    sizes = ("length_px", "width_px", "coverage", "brightness")
    for path in images.find(rainy):
        pair = [images.to_tensor(images.read(p).pixels)[0] for p in (path, clean / path.name)]
        layer = (pair[0] - pair[1]).mean(dim=0, keepdim=True).clamp_min(0)
        told = rain_calibration.measure(path.name, pair[0], restorer, estimator)
        read = from_scale(reader(layer_statistics(layer[None])))[0]
        angle = rain_estimator.common_angle(rain_estimator.windows(layer), 1).item()
        again = RainLike((told.rain,), Uncertainty(0, 0, 0, 0, 0), rain_free=0)
        made = again.sample((1, *pair[0].shape), generator)
        seen = quantise(pair[1] + streak_layer(made, *layer.shape[1:])) - pair[1]
        true = amounts_of(layer)
        rows.append(
            (
                told.rain.angle_rad, *(getattr(told, name) for name in amounts),
                *(getattr(told.rain, name) for name in sizes),
                *amounts_of(seen.mean(dim=1).clamp_min(0)),
                angle, *true,
                *(read[NAMES.index(name)].item() for name in sizes),
                *true,
            )
        )  # fmt: skip
    table = torch.tensor(rows)
    rendered = (f"{name}, rendered" for name in amounts)
    for i, name in enumerate(("angle_rad", *amounts, *sizes, *rendered)):
        ours, theirs = table[:, i], table[:, i + table.shape[1] // 2]
        related = torch.corrcoef(torch.stack([ours, theirs]))[0, 1]
        print(
            f"{name}: correlation {related:.2f}, medians {ours.median():.3g} told, "
            f"{theirs.median():.3g} true, median difference {(ours - theirs).abs().median():.2g}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=int, default=6400)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--measure", type=Path, help="A finished estimator, on one kind of rain.")
    parser.add_argument("--pairs", type=Path, help="Clean versions of PHOTOS, which are rainy.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.pairs is not None and options.measure is not None:
        finished = rain_estimator.load(options.measure)
        compare(options.photos, options.pairs, finished, regression(*bare(2400)))
        return
    paths = images.find(options.photos)
    if options.measure is not None:
        photos = data.load(paths, patch=1)
        print("one population, no veil")
        known = simulated(photos, ONE_KIND, options.pictures, options.seed)
        measure(rain_estimator.load(options.measure), known)
        print("rain of all kinds")
        known = simulated(photos, PRIOR, options.pictures, options.seed)
        measure(rain_estimator.load(options.measure), known)
        return
    learned, tested = (
        [p for i, p in enumerate(paths) if (i % 5 == 0) == aside] for aside in (False, True)
    )
    photos = data.load(learned, patch=1)
    varied = simulated(photos, PRIOR, options.pictures, options.seed)
    plain = simulated(photos, PLAIN, options.pictures // 2, options.seed + 2)
    seen, numbers = (torch.cat(pair) for pair in zip(varied[2:], plain[2:], strict=True))
    estimator = regression(seen, numbers)
    aside = simulated(data.load(tested, patch=1), PRIOR, 640, options.seed + 1)
    estimator.error = measure(estimator, aside)
    if options.output is not None:
        estimator.save(options.output)


if __name__ == "__main__":
    main()
