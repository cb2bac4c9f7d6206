"""benchmarks/deep_image_prior.py: its problems, its table, and its curve."""

from __future__ import annotations

import csv

import pytest
import torch
from tiny import write_photo

from ssl_restore.io import images

SMALL = ("--side", "40", "--steps", "6", "--width", "8")


@pytest.mark.parametrize(
    ("problem", "peers"),
    [("noise", 2), ("lost", 3), ("small", 3)],
)
def test_every_problem_has_a_table_a_sheet_and_a_curve(problem, peers, script, tmp_path, capsys):
    paths = [write_photo(tmp_path / f"{k}.png", 44, 52, channels=k, seed=k) for k in (1, 3)]
    written = ("--curve", tmp_path / "curve.csv", "--sheet", tmp_path / "sheet.png")
    script("deep_image_prior").main([problem, *map(str, (*paths, *SMALL, *written))])
    lines = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split()[0] for line in lines] == ["input", "1:1", "2:3", "mean"]
    assert len(lines[-1].split()) == 1 + peers + 7
    assert images.read(tmp_path / "sheet.png").pixels.shape == (80, 40 * (peers + 2), 3)
    rows = list(csv.DictReader((tmp_path / "curve.csv").open()))
    assert [row["step"] for row in rows] == 2 * ["1", "2", "3", "4", "5", "6"]
    assert sum(int(row["kept"]) for row in rows) == 2


def test_a_run_goes_on_after_the_stop_and_keeps_what_the_rule_kept(script, monkeypatch, tmp_path):
    benchmark = script("deep_image_prior")
    options = benchmark.parsed(["noise", "x.png", *SMALL])
    case = benchmark.with_noise(write_photo(tmp_path / "x.png", 40, 40), 0, options)
    errors, outputs = [5.0, 3.0, 4.0, 4.0, 1.0, 1.0], []

    def solve(image, *, generator, steps, width):
        stopping = benchmark.deep_image_prior.LeastError(
            lambda mean: errors[len(outputs) - 1], 2, 1
        )
        for _ in range(6):
            outputs.append(torch.rand(image.shape))
            assert not stopping.over(outputs[-1])
        return {"clean": stopping.best}

    monkeypatch.setattr(benchmark.deep_image_prior, "solve", solve)
    run = benchmark.measure(case, 0, options)
    assert (run.chosen, len(run.curve)) == (2, 6)
    kept = torch.lerp(outputs[0], outputs[1], 0.8)
    assert (run.restored == benchmark.in_8_bits(kept)).all()
