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


@pytest.mark.parametrize("how", ["drops 1", "writing", "hole"])
def test_only_pixels_under_the_mask_are_changed(how):
    pixels = np.random.default_rng(0).integers(0, 200, (120, 160, 3)).astype(np.uint8)
    made = gallery_made.degrade(pixels, how)
    lost = made["mask"][:, :, 0] > 0
    assert 0 < lost.mean() < 0.5
    assert np.abs(made["input"].astype(int) - pixels)[~lost].max() <= 4
    assert (made["input"] != pixels)[lost].any()
