"""benchmarks/deblur.py: its score knows shifts, its table has a row a method."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import pixels, write_photo

from ssl_restore.io import images


def test_a_shift_costs_nothing_and_what_is_equal_has_100_db(script):
    benchmark = script("deblur")
    clean = pixels(60, 70)
    shifted = np.roll(clean, (3, -5), (0, 1))
    assert benchmark.psnr(clean, clean) == pytest.approx(100)
    assert benchmark.psnr(shifted, clean) == pytest.approx(100)
    off = clean.astype(int) + np.where(clean < 128, 1, -1)
    assert benchmark.psnr(off.astype(np.uint8), clean, 20) == pytest.approx(48.13, abs=0.01)


def test_every_method_has_a_row_and_a_sheet_is_written(script, tmp_path, capsys):
    for folder in ("blurred", "clean"):
        write_photo(tmp_path / folder / "a.png", 64, 80)
    sheet = tmp_path / "sheet.png"
    script("deblur").main([*map(str, (tmp_path / "blurred", tmp_path / "clean", "--sheet", sheet))])
    lines = capsys.readouterr().out.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("1 pictures")) + 1 :]
    names = [line[:32].strip() for line in table]
    assert names[:2] == ["input", "unsharp mask (cv2)"]
    assert names[-1] == "blind_deblur"
    assert images.read(sheet).pixels.shape == (64, 80 * (len(names) + 1), 3)
