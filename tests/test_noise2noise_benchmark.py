"""benchmarks/noise2noise.py: what each loss tends to, and what is observed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import Untouched, write_photo

from ssl_restore.io import images
from ssl_restore.objectives.noise2noise import LOSS_FOR

VALUES = (0.15, 0.55, 0.85)


@pytest.fixture
def benchmark(script):
    return script("noise2noise")


def poisson_median(light):
    """The least count that half of the counts are not above."""
    chance, total, count = math.exp(-light), math.exp(-light), 0
    while total < 0.5:
        count += 1
        chance *= light / count
        total += chance
    return count


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", LOSS_FOR)
def test_right_loss_leads_to_the_clean_value(benchmark, kind, value):
    assert benchmark.limit(kind, LOSS_FOR[kind], value) == pytest.approx(value, abs=0.0011)


@pytest.mark.parametrize("value", VALUES)
def test_squares_lead_to_the_mean(benchmark, value):
    means = {"gaussian": value, "poisson": value, "bernoulli": 0.6 * value,
             "impulse": 0.3 * value + 0.7 / 2}  # fmt: skip
    for kind, mean in means.items():
        assert benchmark.limit(kind, "l2", value) == pytest.approx(mean, abs=0.0011)


@pytest.mark.parametrize("value", VALUES)
def test_absolute_values_lead_to_the_median(benchmark, value):
    broken = min(max(value, (0.5 - 0.3) / 0.7), 0.5 / 0.7)  # 0.7 v + 0.3 [v >= value] = 0.5
    medians = {"gaussian": value, "poisson": 0.1 * poisson_median(10 * value),
               "bernoulli": value, "impulse": broken}  # fmt: skip
    for kind, median in medians.items():
        assert benchmark.limit(kind, "l1", value) == pytest.approx(median, abs=0.0021)


@pytest.mark.parametrize("value", VALUES)
def test_annealed_l0_leads_to_the_mode(benchmark, value):
    modes = {"poisson": 0.1 * math.floor(10 * value), "bernoulli": value, "impulse": value}
    for kind, mode in modes.items():
        assert benchmark.limit(kind, "l0", value) == pytest.approx(mode, abs=0.0011)


@pytest.mark.parametrize("kind", LOSS_FOR)
def test_observations_have_the_distribution_of_which_the_limit_is_taken(benchmark, kind):
    value = 0.55
    clean = torch.full((2, 3, 96, 96), value)
    seen = benchmark.observe(kind, clean, torch.Generator().manual_seed(0)).double()
    values, chances = benchmark.distribution(kind, value)
    assert chances.sum() == pytest.approx(1)
    mean = (values * chances).sum()
    deviation = ((values - mean) ** 2 * chances).sum() ** 0.5
    pixels = 2 * 96 * 96  # lost and broken ones are lost in all three colours
    assert seen.mean().item() == pytest.approx(mean, abs=4 * deviation / pixels**0.5)
    assert seen.std().item() == pytest.approx(deviation, rel=0.03)


def test_table_marks_the_highest_of_each_row_and_names_the_expected(benchmark):
    cells = {(kind, loss): [20.0 + 2 * (loss == right), -1.0, 3.0]
             for kind, right in LOSS_FOR.items() for loss in benchmark.LOSSES}  # fmt: skip
    lines = benchmark.tables(cells)
    for line, (kind, right) in zip(lines[1:5], LOSS_FOR.items(), strict=True):
        assert line.split()[0] == kind
        assert line.split()[1 + benchmark.LOSSES.index(right)] == "22.00*"
        assert line.count("*") == 1
        assert line.endswith(f"   {right}")
    assert lines[-1].split() == ["impulse", *["-1.0", "+3.0"] * 3]


def test_score_tells_a_shift_in_the_dark_and_in_the_bright_third(benchmark):
    clean = torch.linspace(0, 1, 96).expand(1, 3, 96, 96).round(decimals=2)
    shifted = clean + 0.1 * (clean > 0.5) - 0.05 * (clean < 0.5)
    network = Untouched()
    result, (decibels, dark, bright) = benchmark.scored(network, shifted, clean)
    assert torch.equal(result, shifted)
    assert (dark, bright) == (pytest.approx(-0.05 * 255), pytest.approx(0.1 * 255))
    assert 20 < decibels < 26


def test_every_cell_is_learned_and_shown(benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "TEST_PX", 32)
    monkeypatch.setattr(benchmark, "SIDE_PX", 24)
    monkeypatch.setattr(benchmark, "LOSS_FOR", {"bernoulli": "l1"})
    for index in range(3):
        write_photo(tmp_path / "photos" / f"{index}.png", 40, 40, seed=index)
    words = ["--pictures", tmp_path / "photos", "--aside", 1, "--steps", 2, "--width", 4,
             "--patch", 16, "--sheet", tmp_path / "sheet.png"]  # fmt: skip
    benchmark.main([str(word) for word in words])
    told = capsys.readouterr()
    assert [line.split(":")[0] for line in told.err.splitlines()] == [
        f"bernoulli {loss}" for loss in benchmark.LOSSES
    ]
    assert told.out.count("*") == 1
    sheet = images.read(tmp_path / "sheet.png").pixels
    assert sheet.shape == (24 + 20, 5 * 24, 3)
    assert np.ptp(sheet) > 100
    with pytest.raises(SystemExit, match="--aside 3: must be from 1 to 2"):
        benchmark.main(["--pictures", str(tmp_path / "photos"), "--aside", "3"])
