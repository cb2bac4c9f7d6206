"""Make the pictures that show what the commands do: degraded above restored, failures included.

    python benchmarks/gallery.py [SHEET ...] [--debs FOLDER] [--work FOLDER]

Writes benchmarks/gallery.jpg for the README and docs/pictures/SHEET.jpg for each guide.  Every
panel is a row of gallery.tsv: where its photograph comes from, with author and licence, what is
done to it, and what came out, as judged by eye.  `real` pictures are restored as they are;
`rendered` ones are degraded first, by gallery_made.py.  The restorers are run as commands, with
their defaults.  Panels with a number in the column `readme` are on the README's sheet, too.

Packages are fetched as by free_photos.py, which see.  With --work the inputs and results are
kept, and what is there is not made again: delete what shall be made anew.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from free_photos import Packages
from gallery_made import degrade
from PIL import Image, ImageDraw, ImageFont

from ssl_restore.io import images
from ssl_restore.io.picture import Picture, Pixels

ROOT = Path(__file__).parents[1]
PANEL = (320, 240)  # width and height of a picture
HEADER, FOOTER, GAP = 22, 20, 6
COLUMNS = 3
INK, FAILED, PAPER = (20, 20, 20), (190, 0, 0), (255, 255, 255)
ABOVE = {"upscale": "cubic interpolation, twice as large"}  # instead of "before"


@dataclass(frozen=True)
class Panel:
    """A row of gallery.tsv."""

    sheet: str  # the command, and the name of the sheet
    kind: str  # real or rendered
    title: str
    package: str  # Debian package; - is this repository
    path: str  # inside it
    author: str
    licence: str
    crop: str  # x,y,width,height of what is restored; empty for all
    made: str  # what gallery_made does to it
    options: str  # of the command
    view: str  # x,y,width,height of what is shown, in pixels of the input
    verdict: str  # failure, in part, or empty
    remark: str
    readme: str  # place on the README's sheet, or empty

    @property
    def name(self) -> str:
        return f"{self.sheet}_{self.title.lower().replace(' ', '_').replace(',', '')}"


def panels() -> list[Panel]:
    text = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [Panel(**row) for row in rows]


def credit(panel: Panel) -> str:
    """Its row of the table in docs/gallery.md."""
    source = f"{panel.package}: `{panel.path}`" if panel.package != "-" else f"`{panel.path}`"
    links = "; ".join(linked(one) for one in panel.licence.split("; "))
    return f"| {panel.sheet} | {panel.title} | {panel.author} | {links} | {source} |"


def linked(licence: str) -> str:
    """`CC BY-SA 4.0` as a link of Markdown; public domain is none."""
    name, _, version = licence.removeprefix("CC").strip().lower().rpartition(" ")
    if not licence.startswith("CC"):
        return licence
    kind = "publicdomain/zero" if licence.startswith("CC0") else f"licenses/{name}"
    return f"[{licence}](https://creativecommons.org/{kind}/{version}/)"


def box(text: str) -> tuple[slice, slice]:
    x, y, width, height = map(int, text.split(","))
    return slice(y, y + height), slice(x, x + width)


def prepare(panel: Panel, folder: Path, packages: Packages) -> None:
    """Write `input.png`, and `mask.png` or `second.png` where the command takes them."""
    if panel.package == "-":
        pixels = images.read(ROOT / panel.path).pixels
    else:
        pixels = np.asarray(packages.photograph(panel.package, panel.path, long_side=0))
        if max(pixels.shape[:2]) > 1200 and not panel.crop:  # as in free_photos
            pixels = np.asarray(packages.photograph(panel.package, panel.path, long_side=1200))
    if panel.crop:
        pixels = np.ascontiguousarray(pixels[box(panel.crop)])
    made = degrade(pixels, panel.made) if panel.made else {"input": pixels}
    for name, content in made.items():
        (folder / name).parent.mkdir(exist_ok=True)
        images.write(folder / f"{name}.png", Picture(content))


def run(*words: str | Path) -> None:
    """A command of ssl-restore."""
    subprocess.run([sys.executable, "-m", "ssl_restore", *map(str, words)], check=True, cwd=ROOT)


def restore(panel: Panel, folder: Path) -> None:
    """Write `output.png`, by the command."""
    if panel.sheet == "fit":
        fitted = panel.options.split()
        weights = folder / "run" / "restorer.safetensors"
        if fitted:
            run("fit", "--images", folder / "frames", *fitted, "-o", folder / "run")
        chosen = ("--weights", weights) if fitted else ()
        run("derain", folder / "input.png", folder / "output.png", *chosen)
        return
    output = folder / ("layers" if panel.sheet == "separate" else "output.png")
    second, mask = folder / "second.png", folder / "mask.png"
    words: list[str | Path] = [folder / "input.png", *([second] if second.exists() else []), output]
    words += panel.options.split()
    words += ["--mask", mask] if mask.exists() else []
    run(panel.sheet, *words, "--overwrite")
    if output.is_dir():
        shown = "clean.png" if (output / "clean.png").exists() else "layer_1.png"
        (output / shown).replace(folder / "output.png")


def fit(pixels: Pixels, times: int = 1) -> Image.Image:
    """What a panel shows, at the panel's size; enlarged by interpolation, reduced by area."""
    pixels = pixels if pixels.shape[2] == 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
    larger = pixels.shape[1] * times < PANEL[0] or times > 1
    way = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    return Image.fromarray(cv2.resize(pixels, PANEL, interpolation=way))


def halves(panel: Panel, folder: Path) -> tuple[Image.Image, Image.Image]:
    before = images.read(folder / "input.png").pixels
    after = images.read(folder / "output.png").pixels
    scale = after.shape[0] // before.shape[0]
    y, x = box(panel.view)
    larger = (slice(scale * s.start, scale * s.stop) for s in (y, x))
    return fit(before[y, x], scale), fit(after[tuple(larger)])


def block(panel: Panel, folder: Path) -> Image.Image:
    """Title, degraded picture, restored picture and remark, one below the other."""
    width, height = PANEL
    image = Image.new("RGB", (width, HEADER + 2 * height + GAP + FOOTER), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((2, 3), f"{panel.sheet}: {panel.title} ({panel.kind})", INK, font(15))
    for index, half in enumerate(halves(panel, folder)):
        top = HEADER + index * (height + GAP)
        image.paste(half, (0, top))
        said = ABOVE.get(panel.sheet, "before") if index == 0 else "after"
        at = (4, top + height - 19)
        draw.rectangle((at[0] - 4, at[1] - 1, *(draw.textbbox(at, said, font(13))[2:])), PAPER)
        draw.text(at, said, INK, font(13))
    remark = f"{panel.verdict}: {panel.remark}" if panel.verdict else panel.remark
    draw.text(
        (2, image.height - FOOTER + 2),
        remark,
        FAILED if panel.verdict == "failure" else INK,
        font(14),
    )
    return image


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def lay(blocks: list[Image.Image], path: Path, most_bytes: int) -> None:
    """Write the sheet of the blocks, `COLUMNS` beside one another, as JPEG of at most a size."""
    columns = min(COLUMNS if len(blocks) != 4 else 2, len(blocks))
    rows = -(-len(blocks) // columns)
    width, height = blocks[0].size
    size = columns * (width + GAP) - GAP, rows * (height + 2 * GAP) - 2 * GAP
    sheet = Image.new("RGB", size, PAPER)
    for index, one in enumerate(blocks):
        sheet.paste(one, (index % columns * (width + GAP), index // columns * (height + 2 * GAP)))
    path.parent.mkdir(exist_ok=True)
    for quality in (88, 82, 76, 70, 60):
        images.write(path, Picture(np.asarray(sheet)), quality=quality)
        if path.stat().st_size <= most_bytes:
            break
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB")


def main() -> None:
    known = panels()
    names = list(dict.fromkeys(panel.sheet for panel in known))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("sheets", nargs="*", metavar="SHEET", help=f"of {', '.join(names)}")
    parser.add_argument("--debs", type=Path, help="keep (and reuse) the packages in this folder")
    parser.add_argument("--work", type=Path, help="keep (and reuse) inputs and results here")
    given = parser.parse_args()
    chosen = given.sheets or names
    with tempfile.TemporaryDirectory() as scratch:
        packages = Packages(given.debs or Path(scratch), Path(scratch))
        work = (given.work or Path(scratch) / "work").resolve()
        blocks: dict[Panel, Image.Image] = {}
        for panel in known:
            if panel.sheet not in chosen:
                continue
            folder = work / panel.name
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "input.png").exists():
                prepare(panel, folder, packages)
            if not (folder / "output.png").exists():
                restore(panel, folder)
            blocks[panel] = block(panel, folder)
    for name in chosen:
        mine = [image for panel, image in blocks.items() if panel.sheet == name]
        lay(mine, ROOT / "docs" / "pictures" / f"{name}.jpg", most_bytes=200_000)
    first = sorted((panel for panel in known if panel.readme), key=lambda panel: panel.readme)
    if all(panel in blocks for panel in first):
        shown = [blocks[panel] for panel in first]
        lay(shown, Path(__file__).with_suffix(".jpg"), most_bytes=400_000)


if __name__ == "__main__":
    main()
