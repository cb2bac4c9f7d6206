"""Double-DIP measured: haze, two mixtures of two photographs, figure and ground.

    python benchmarks/double_dip.py --hazy ./hazy/ --clean ./clean/ --sheet haze.png
    python benchmarks/double_dip.py --mixtures ./photos/ --sheet mixtures.png
    python benchmarks/double_dip.py --figures ./photos/ --sheet figures.png

--hazy and --clean hold pictures of the same names, which are made smaller to --longest pixels.  The
table has the PSNR of the input, of `dark_channel` with one window as published and with three, of
the start of Double-DIP, and of its result.

--mixtures holds photographs, of which pairs are drawn from --seed, with weights of 0.5 to 0.8 in
one mixture and 0.2 to 0.5 in the other, both rounded to 8 bits.  PSNR of the worse layer, up to
their order: of the mixtures themselves, of what the weights that are read off the gradients give,
and of the result.  In the column `one mixture` only the first one is given.

--figures holds the photographs that FIGURES names (of BSDS500).  Of each the square with the most
even texture is taken, a figure with a curved border is pasted on the ground, and 6 + 10 marks of 5
pixels are drawn.  Intersection over union of the start and of the result.

The truth is for the scores alone.  Seconds are of `solve`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels, eight_bit_rgb
from ssl_restore.solvers import (
    dark_channel,
    double_dip,
    double_dip_haze,
    double_dip_mixtures,
    double_dip_segmentation,
)

FIGURES = (  # figure and ground
    ("302022.jpg", "94095.jpg"), ("196040.jpg", "250047.jpg"), ("217090.jpg", "97010.jpg")
)  # fmt: skip
LOBES = ((12, 3, 0), (15, 5, 0), (20, 2, 1))  # of the border: height in pixels, number, phase
FIGURE_PX, RADIUS_PX = 240, 70
MARKS, MARK_PX, CLEAR_PX = (6, 10), 2, 5  # of figure and ground; half a side; from the border
MIXTURE_PX = (320, 480)
SHOWN_PX = 240

Row = tuple[str, dict[str, float], float]  # name, scores, seconds


def psnr(result: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((result.clamp(0, 1) - truth).square().mean()))


def in_8_bits(image: Tensor) -> Tensor:
    return (255 * image).round() / 255


def read(path: Path, longest: int | None = None) -> Tensor:
    pixels = eight_bit_rgb(images.read(path).pixels)
    if longest is not None:
        scale = longest / max(pixels.shape[:2])
        size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return images.to_tensor(pixels)


def haze(options: argparse.Namespace) -> Iterator[tuple[Row, list[Tensor]]]:
    for path in images.find(options.hazy)[: options.limit]:
        image, clean = (
            read(folder / path.name, options.longest) for folder in (options.hazy, options.clean)
        )
        published, classical = (
            dark_channel.solve(image, scales=scales)["clean"] for scales in (1, 3)
        )
        first = double_dip_haze.remove_haze(image, double_dip_haze.dark_channel_start(image))[
            "clean"
        ]
        start = time.perf_counter()
        layers = double_dip.solve(image, generator=rng.derive(options.seed, "solve"),
                                  **limits(options))  # fmt: skip
        seconds = time.perf_counter() - start
        results = {"input": image, "published": published, "dark_channel": classical,
                   "start": first, "double_dip": layers["clean"]}  # fmt: skip
        scores = {name: psnr(result, clean) for name, result in results.items()}
        shown = [image, classical, layers["clean"], layers["transmission"], clean]
        yield (path.name, scores, seconds), shown


def mixtures(options: argparse.Namespace) -> Iterator[tuple[Row, list[Tensor]]]:
    draws = np.random.default_rng(options.seed)
    paths = images.find(options.mixtures)
    for _ in range(options.limit or 4):
        chosen = [paths[number] for number in draws.choice(len(paths), 2, replace=False)]
        weights = draws.uniform(0.5, 0.8), draws.uniform(0.2, 0.5)
        truth = [_landscape(read(path)) for path in chosen]
        pair = [in_8_bits(w * truth[0] + (1 - w) * truth[1]) for w in weights]
        both = _two_layers(pair[0], pair[1], truth, options)
        alone = _two_layers(pair[0], None, truth, options)
        scores = {"input": _ordered((pair[0], pair[1]), truth), "start": both[0],
                  "double_dip": both[1], "one mixture": alone[1]}  # fmt: skip
        name = " and ".join(path.stem for path in chosen)
        yield (name, scores, both[2]), [*pair, *both[3], *alone[3]]


def _two_layers(
    image: Tensor, second: Tensor | None, truth: list[Tensor], options: argparse.Namespace
) -> tuple[float, float, float, list[Tensor]]:
    """PSNR of the worse layer at the start and in the end, seconds, layers."""
    first = 0.0
    if second is not None:
        found = double_dip_mixtures.weights_of_gradients(image, second, lambda line: None)
        first = _ordered(double_dip_mixtures.unmixed([image, second], list(found)), truth)
    begun = time.perf_counter()
    layers = double_dip.solve(image, generator=rng.derive(options.seed, "solve"), use="layers",
                              second=second, **limits(options))  # fmt: skip
    seconds = time.perf_counter() - begun
    pair = layers["layer_1"], layers["layer_2"]
    return first, _ordered(pair, truth), seconds, list(pair)


def _ordered(layers: tuple[Tensor, Tensor], truth: list[Tensor]) -> float:
    """PSNR of the worse layer, in the better order."""
    orders = (truth, truth[::-1])
    return max(min(psnr(y, x) for y, x in zip(layers, order, strict=True)) for order in orders)


def _landscape(image: Tensor) -> Tensor:
    height, width = MIXTURE_PX
    turned = image if image.shape[3] >= image.shape[2] else image.transpose(2, 3)
    return turned[..., :height, :width].contiguous()


def figures(options: argparse.Namespace) -> Iterator[tuple[Row, list[Tensor]]]:
    for number, names in enumerate(FIGURES[: options.limit]):
        figure, ground = (most_even(read(options.figures / name)) for name in names)
        mask, hints = _figure(number, options.seed)
        image = in_8_bits(mask * figure + (1 - mask) * ground)
        marks = [(hints > 0.75).float(), (hints < 0.25).float()]
        first = double_dip_segmentation.mask_of_hints(image, marks[0], marks[1])
        start = time.perf_counter()
        layers = double_dip.solve(image, generator=rng.derive(options.seed, "solve"),
                                  use="segmentation", hints=hints, **limits(options))  # fmt: skip
        seconds = time.perf_counter() - start
        scores = {"start": overlap(first, mask), "double_dip": overlap(layers["mask"], mask)}
        shown = [image, hints, first, layers["mask"], layers["figure"], layers["ground"]]
        yield (" on ".join(Path(name).stem for name in names), scores, seconds), shown


def most_even(image: Tensor) -> Tensor:
    """The square of FIGURE_PX whose fine texture is strong, and alike in all of it."""
    values = image[0].permute(1, 2, 0).numpy()
    best, chosen = -1.0, image
    for top in range(0, values.shape[0] - FIGURE_PX + 1, 20):
        for left in range(0, values.shape[1] - FIGURE_PX + 1, 20):
            part = np.ascontiguousarray(values[top : top + FIGURE_PX, left : left + FIGURE_PX])
            fine = part - cv2.GaussianBlur(part, (0, 0), 6)
            means = cv2.resize(part, (4, 4), interpolation=cv2.INTER_AREA)
            energy = cv2.resize((fine**2).mean(axis=2), (4, 4), interpolation=cv2.INTER_AREA)
            even = float(energy.min() / energy.max())
            score = float(fine.std()) * even / (float(means.std(axis=(0, 1)).mean()) + 0.02)
            if score > best:
                best = score
                chosen = image[..., top : top + FIGURE_PX, left : left + FIGURE_PX]
    return chosen


def _figure(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """A mask and its hints, (1, 1, FIGURE_PX, FIGURE_PX)."""
    y, x = np.mgrid[:FIGURE_PX, :FIGURE_PX] - FIGURE_PX / 2
    height, lobes, phase = LOBES[number]
    border = RADIUS_PX + height * np.sin(lobes * np.arctan2(y, x) + phase)
    inside = (np.hypot(y, x) < border).astype(np.float32)
    hints = np.full(inside.shape, 128 / 255, np.float32)
    draws = np.random.default_rng(number + seed)
    kernel = np.ones((2 * CLEAR_PX + 1, 2 * CLEAR_PX + 1))
    places = cv2.erode(inside, kernel) > 0, cv2.dilate(inside, kernel) == 0
    for allowed, value, count in zip(places, (1.0, 0.0), MARKS, strict=True):
        rows, columns = np.nonzero(allowed)
        for chosen in draws.choice(len(rows), count):
            row, column = (max(0, line[chosen] - MARK_PX) for line in (rows, columns))
            side = 2 * MARK_PX + 1
            hints[row : row + side, column : column + side] = value
    soft = cv2.GaussianBlur(inside, (0, 0), 0.7)
    return torch.from_numpy(soft)[None, None], torch.from_numpy(hints)[None, None]


def overlap(mask: Tensor, truth: Tensor) -> float:
    """Intersection over union."""
    one, other = mask > 0.5, truth > 0.5
    return float((one & other).sum() / (one | other).sum())


def limits(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given."""
    given = {name: getattr(options, name) for name in ("steps", "seconds", "side", "width")}
    return {name: value for name, value in given.items() if value is not None}


def table(rows: Sequence[Row]) -> list[str]:
    """A heading, a line a picture, and their means."""
    names = list(rows[0][1])
    lines = [f"{'':20}" + "".join(f"{name:>14}" for name in names) + f"{'seconds':>10}"]
    means = {name: float(np.mean([scores[name] for _, scores, _ in rows])) for name in names}
    for name, scores, seconds in (*rows, ("mean", means, float(np.mean([r[2] for r in rows])))):
        numbers = "".join(f"{scores[key]:14.2f}" for key in names)
        lines.append(f"{name:20}{numbers}{seconds:10.0f}")
    return lines


def sheet(rows: Sequence[Sequence[Tensor]]) -> Pixels:
    """A row a picture, its parts beside each other."""
    return np.vstack([np.hstack([_small(part) for part in row]) for row in rows])


def _small(image: Tensor) -> Pixels:
    rgb = np.zeros((*image.shape[2:], 3), np.uint8)
    pixels = images.to_pixels(image.expand(1, 3, -1, -1), rgb)
    size = SHOWN_PX, round(SHOWN_PX * pixels.shape[0] / pixels.shape[1])
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--hazy", type=Path, help="Folder of hazy pictures.")
    kind.add_argument("--mixtures", type=Path, help="Folder of photographs to mix.")
    kind.add_argument("--figures", type=Path, help="Folder of the photographs of FIGURES.")
    add("--clean", type=Path, help="Folder of the clean pictures of --hazy.")
    add("--longest", type=int, default=400, help="Side that --hazy is reduced to.")
    add("--limit", type=int, help="Only the first so many.")
    add("--seed", type=int, default=0)
    add("--steps", type=int)
    add("--seconds", type=float)
    add("--side", type=int)
    add("--width", type=int)
    add("--sheet", type=Path, help="Write a sheet of pictures.")
    options = parser.parse_args(arguments)
    if (options.hazy is None) != (options.clean is None):
        parser.error("--hazy and --clean belong together")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    measured = haze if options.hazy else mixtures if options.mixtures else figures
    rows, shown = [], []
    try:
        for row, parts in measured(options):
            rows.append(row)
            shown.append(parts)
            print(table([row])[1], file=sys.stderr, flush=True)
        print("\n".join(table(rows)))
        if options.sheet is not None:
            images.write(options.sheet, Picture(sheet(shown)))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
