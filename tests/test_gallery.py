"""The gallery: every picture has its source, a free licence and a place in the documents."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import gallery
import gallery_made

ROOT = Path(__file__).parents[1]
PANELS = gallery.panels()
PICTURES = ROOT / "docs" / "pictures"
FREE = r"(public domain|CC0 1\.0|CC BY(-SA)? [1-4]\.\d)"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_panel_names_author_and_free_licence_and_says_what_is_seen(panel):
    assert panel.author
    assert panel.remark
    assert panel.kind == ("rendered" if is_degraded(panel) else "real")
    assert panel.verdict in {"", "in part", "failure"}
    assert all(re.fullmatch(FREE, licence) for licence in panel.licence.split("; "))
    assert panel.package != "-" or (ROOT / panel.path).is_file()


def is_degraded(panel):
    bundled = panel.path == "data_samples/rainy_example.png"
    return bundled or (panel.made and not panel.made.startswith("shadow"))


def test_the_page_credits_every_panel_and_no_other():
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows == [gallery.credit(panel) for panel in PANELS]


def test_every_sheet_is_small_and_shown_on_the_page_and_in_a_guide():
    sheets = {panel.sheet for panel in PANELS}
    assert {path.stem for path in PICTURES.iterdir()} == sheets
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    guides = [path.read_text(encoding="utf-8") for path in (ROOT / "docs/guides").glob("*.md")]
    for sheet in sheets:
        assert (PICTURES / f"{sheet}.jpg").stat().st_size <= 200_000
        assert f"](pictures/{sheet}.jpg)" in page
        assert any(f"](../pictures/{sheet}.jpg)" in guide for guide in guides)


def test_the_sheet_of_the_readme_is_small_and_shows_a_failure():
    shown = [panel for panel in PANELS if panel.readme]
    assert {"derain", "denoise", "dehaze"} <= {panel.sheet for panel in shown}
    assert any(panel.verdict == "failure" for panel in shown)
    assert (ROOT / "benchmarks" / "gallery.jpg").stat().st_size <= 400_000


def test_a_block_holds_the_input_above_the_output(tmp_path):
    panel = next(panel for panel in PANELS if panel.sheet == "upscale")
    Image.new("RGB", (300, 300), (200, 0, 0)).save(tmp_path / "input.png")
    Image.new("RGB", (600, 600), (0, 200, 0)).save(tmp_path / "output.png")
    block = np.asarray(gallery.block(panel, tmp_path))
    height = gallery.PANEL[1]
    assert (block[gallery.HEADER + 10, 160] == (200, 0, 0)).all()
    assert (block[gallery.HEADER + height + gallery.GAP + 10, 160] == (0, 200, 0)).all()


def test_what_is_rendered_is_drawn_from_its_seed():
    pixels = np.full((48, 64, 3), 90, np.uint8)
    one, same, other = (
        gallery_made.degrade(pixels, f"rain storm {seed}")["input"] for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()
    assert (one != pixels).any()


def test_the_mask_of_a_shadow_is_white_inside_its_outline_alone():
    pixels = np.zeros((812, 1200, 3), np.uint8)
    mask = gallery_made.degrade(pixels, "shadow concrete")["mask"]
    assert mask.shape == (812, 1200, 1)
    assert mask[200, 300, 0] == 255  # on the concrete
    assert mask[500, 700, 0] == 0  # the fig


def test_a_clip_has_other_rain_in_every_frame_than_in_the_input():
    pixels = np.full((48, 64, 3), 90, np.uint8)
    made = gallery_made.degrade(pixels, "clip heavy 1")
    frames = [content for name, content in made.items() if name.startswith("frames/")]
    assert len(frames) == gallery_made.FRAMES
    assert all((frame != made["input"]).any() for frame in frames)
