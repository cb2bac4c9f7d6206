"""The bench of real rain: its scores on a clip whose truth is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from rainy_clips import folder, rained, scene

from ssl_restore.calibration.background import Place
from ssl_restore.io import images, shots
from ssl_restore.io.picture import Picture


@pytest.fixture
def bench(script):
    return script("real_rain")


def place(light=40, size=40):
    background = np.full((size, size, 3), 90, np.uint8)
    frame = background.copy()
    frame[:, 10:14] += np.uint8(light)
    return Place(1, frame, background, np.ones((size, size), bool))


def test_scores_of_known_restorations(bench):
    p = place()
    level, left, change, distance = bench.scores(p, p.frame)
    assert left == pytest.approx(1)
    assert change == distance == 0
    assert level == pytest.approx(10 * np.log10(255**2 / (40**2 * 4 / 40)))
    half = p.background + (p.frame - p.background) // 2
    assert bench.scores(p, half)[1] == pytest.approx(0.5)
    darker = (p.background - 3).astype(np.uint8)
    _, left, change, distance = bench.scores(p, darker)
    assert left == 0
    assert change == distance == pytest.approx(3)


def test_faint_rain_that_is_taken_brings_a_frame_nearer_to_its_background(bench):
    p = place()
    p.frame[:, 25:30] += np.uint8(5)
    _, left, change, distance = bench.scores(p, p.background)
    assert (left, distance) == (0, 0)
    assert change > 1
    assert bench.scores(p, p.frame)[3] == pytest.approx(change)


def test_what_is_masked_does_not_count(bench):
    p = place()
    mask = p.mask.copy()
    mask[:, 30:] = False
    spoilt = p.background.copy()
    spoilt[:, 30:] = 255
    _, left, change, _ = bench.scores(Place(1, p.frame, p.background, mask), spoilt)
    assert (left, change) == (0, 0)


def test_rows_of_a_clip(bench, tmp_path, monkeypatch, capsys):
    clean = scene()
    frames = folder(tmp_path / "frames", [rained(clean, n) for n in range(20)])
    clips = tmp_path / "clips"
    clips.mkdir()
    shots.write_clip(images.find(frames), clips / "lane.mp4", 25)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["real_rain.py", *map(str, words)])
        bench.main()
        return capsys.readouterr().out

    said = run(clips, "--count", 2, "--write", tmp_path / "measured")
    assert "input" in said
    assert "light 100%  change 0.00" in said
    measured = images.find(tmp_path / "measured")
    assert len(measured) == 2
    (tmp_path / "perfect").mkdir()
    for path in measured:
        images.write(tmp_path / "perfect" / path.name, Picture(clean))
    words = (clips, "--count", 2, "--restored", f"perfect={tmp_path / 'perfect'}")
    said = run(*words, "--sheet", tmp_path / "sheet.png")
    row = next(line for line in said.splitlines() if line.startswith("mean") and "perfect" in line)
    assert int(row.split("light")[1].split("%")[0]) < 15
    assert (tmp_path / "sheet.png").is_file()
    run(clips, "--first-half", tmp_path / "halves")
    assert len(images.find(tmp_path / "halves" / "lane")) == 10
