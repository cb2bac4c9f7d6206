"""benchmarks/derain.py on tiny pictures: the table, its rows, and what each may learn from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from degradations.rain import Rain
from degradations.streaks import streak_layer
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.types import Batch


@pytest.fixture
def benchmark(script):
    return script("derain")


@pytest.fixture
def pairs(tmp_path):
    """Two scenes of 96 x 128 with bright upright lines."""
    draws = np.random.default_rng(0)
    for index in range(2):
        coarse = draws.integers(30, 180, (12, 16, 3), np.uint8)
        clean = cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC)
        rainy = clean.copy()
        rainy[:, draws.integers(0, 128, 10)] += 40
        for kind, pixels in (("rainy", rainy), ("clean", clean)):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            images.write(tmp_path / "set" / kind / f"{index}.png", Picture(pixels))
    return tmp_path / "set"


def scored(text):
    """Name of the row -> its numbers, of the printed table."""
    rows = [line for line in text.splitlines()[2:] if line]
    return {row[:14].strip(): row[14:].split() for row in rows}


def test_the_table_has_a_row_for_every_method(benchmark, pairs, tmp_path, capsys):
    run, sheet = tmp_path / "run", tmp_path / "sheet.png"
    command = [
        "--pairs", pairs, "--steps", 2, "-o", run, "--no-fit", "--supervised", "--set", "batch=2",
        "--set", "patch=32", "--sheet", sheet, "--pictures", 1, "--csv", tmp_path / "rows.csv",
        "--device", "cpu",
    ]  # fmt: skip
    benchmark.main([str(word) for word in command])
    first = capsys.readouterr()
    rows = scored(first.out)
    filters = ["input", "median 5x5", "guided filter", "opening 1x5"]
    assert list(rows) == [*filters, "built-in", "sup. scratch"]
    assert float(rows["opening 1x5"][0]) > float(rows["input"][0])
    assert "2 scenes in 2 parts" in first.err
    assert "1 pairs, 2 steps" in first.err
    assert images.read(sheet).pixels.shape == (320 + 24, 5 * 320, 3)
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1 + 2 * len(rows)

    benchmark.main([str(word) for word in command])
    second = capsys.readouterr()
    assert second.err.count("kept") == 2
    assert scored(second.out)["sup. scratch"][:4] == rows["sup. scratch"][:4]


def test_learning_needs_a_folder_and_one_measure_of_time(benchmark, pairs, capsys):
    for words in (["--supervised"], ["-o", "x"], ["-o", "x", "--steps", "1", "--minutes", "1"]):
        with pytest.raises(SystemExit):
            benchmark.main(["--pairs", str(pairs), *words])
        assert "to learn, give -o" in capsys.readouterr().err


def test_a_restorer_of_the_bound_is_scored_on_scenes_that_it_did_not_learn_from(
    benchmark, monkeypatch, tmp_path
):
    seen = []
    monkeypatch.setattr(benchmark, "supervise", lambda recipe, learned, how: seen.append(learned))
    names = "abcde"
    photos = {name: (np.full((8, 8, 3), i, np.uint8),) * 2 for i, name in enumerate(names)}
    how = benchmark.Learning("derain_unpaired", {"width": 4}, 1, None, 0, torch.device("cpu"))
    found = benchmark.bound(photos, [0, 1, 0, 2, 1], "scratch", how, tmp_path)
    assert list(found) == list(names)
    levels = [[int(rainy[0, 0, 0]) for rainy, _ in learned] for learned in seen]
    assert levels == [[1, 3, 4], [0, 2, 3], [0, 1, 2, 4]]
    assert found["a"] is found["c"]
    assert found["a"] is not found["b"]


def test_rainy_and_clean_crops_are_of_one_place(benchmark, monkeypatch):
    how = benchmark.Learning(
        "derain_unpaired", {"width": 4, "batch": 4, "patch": 16}, 2, None, 0, torch.device("cpu")
    )
    recipe = how.build()
    seen = []
    recipe.restorer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    photos = [np.random.default_rng(i).integers(0, 200, (40, 50, 3), np.uint8) for i in range(3)]
    truths = []
    forward = benchmark.PairedRain.forward

    def watched(self, batch, generator):
        truths.append(batch.clean)
        return forward(self, batch, generator)

    monkeypatch.setattr(benchmark.PairedRain, "forward", watched)
    assert benchmark.supervise(recipe, [(p + 10, p) for p in photos], how).startswith("2 steps")
    for rainy, clean in zip(seen, truths, strict=True):
        torch.testing.assert_close(rainy, clean + 10 / 255)


def test_the_loss_of_the_bound_is_zero_at_the_truth_only(benchmark):
    clean, generator = torch.rand(2, 3, 8, 8), torch.Generator()
    objective = benchmark.PairedRain(nn.Identity())
    assert objective(Batch(clean, clean), generator)["restore"] == 0
    assert objective(Batch(clean, clean + 0.1), generator)["restore"] > 0.5


def test_the_guided_filter_is_that_of_its_equations(benchmark):
    pixels = np.random.default_rng(0).integers(0, 256, (21, 24, 1), np.uint8).repeat(3, 2)
    image = np.pad(pixels[:, :, 0] / 255, 4, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(image, (9, 9))
    mean, variance = windows.mean((2, 3)), windows.var((2, 3))
    a = variance / (variance + 0.01)
    b = (1 - a) * mean
    smooth = [
        np.lib.stride_tricks.sliding_window_view(np.pad(x, 4, mode="symmetric"), (9, 9)).mean(
            (2, 3)
        )
        for x in (a, b)
    ]
    expected = 255 * (smooth[0] * pixels[:, :, 0] / 255 + smooth[1])
    np.testing.assert_allclose(benchmark.guided(pixels)[:, :, 0], expected, atol=0.51)


def test_without_a_truth_the_clean_pictures_lose_the_streaks_and_keep_the_rest(
    benchmark, tmp_path, capsys
):
    draws = np.random.default_rng(0)
    rain = Rain(rain_free=0, angle_rad=(0.15, 0.15), population_spread_rad=(1e-6, 1e-6),
                brightness=(0.3, 0.3), coverage=(0.15, 0.15), width_px=(1.8, 1.8),
                length_px=(40, 40), populations=(1, 1))  # fmt: skip
    for index in range(2):
        coarse = draws.integers(30, 180, (24, 24, 3), np.uint8)
        clean = cv2.resize(coarse, (192, 192), interpolation=cv2.INTER_CUBIC)
        layer = streak_layer(
            rain.sample((1, 3, 192, 192), torch.Generator().manual_seed(index)), 192, 192
        )
        rainy = images.to_pixels((images.to_tensor(clean) + layer).clamp(0, 1), clean)
        for kind, pixels in (("rainy", rainy), ("clean", clean)):
            (tmp_path / kind).mkdir(exist_ok=True)
            images.write(tmp_path / kind / f"{index}.png", Picture(pixels))
    folders = [str(tmp_path / kind) for kind in ("rainy", "clean")]
    benchmark.main(["--device", "cpu", "--real", *folders, "--real", folders[0], folders[0]])
    lines = capsys.readouterr().out.splitlines()
    assert "2 pictures, 0 more" in lines[0]
    assert float(lines[1][30:].split()[0]) > 90
    assert abs(float(lines[2][30:].split()[0])) < 25
    assert [float(line[30:].split()[0]) for line in lines[4:6]] == [0, 0]
