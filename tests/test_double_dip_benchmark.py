"""benchmarks/double_dip.py: what it makes and scores, and tiny runs of each table."""

from __future__ import annotations

import pytest
import torch
from tiny import write_photo

from ssl_restore.io import images

QUICK = ["--steps", "2", "--side", "32", "--width", "8"]


@pytest.fixture
def benchmark(script):
    return script("double_dip")


def test_overlap_is_the_intersection_over_the_union(benchmark):
    one, other = torch.zeros(2, 1, 1, 4, 4)
    one[..., :2, :] = 1
    other[..., 1:3, :] = 0.9
    assert benchmark.overlap(one, other) == pytest.approx(4 / 12)


def test_worse_layer_counts_in_the_better_order(benchmark):
    one, other = torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), 0.6)
    assert benchmark._ordered((other + 0.1, one + 0.01), [one, other]) == pytest.approx(20, abs=0.1)


def test_hints_lie_on_their_side_of_the_border(benchmark):
    for number in range(3):
        mask, hints = benchmark._figure(number, seed=0)
        assert mask[hints == 1].min() == 1
        assert mask[hints == 0].max() == 0
        assert (hints == 1).sum() <= 6 * 25
        assert 0.15 < float(mask.mean()) < 0.5


def run(benchmark, capsys, *arguments):
    benchmark.main([*map(str, arguments), *QUICK])
    return capsys.readouterr().out.splitlines()


def test_haze_has_a_row_a_picture_and_their_mean(benchmark, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        write_photo(tmp_path / "hazy" / name, seed=1)
        write_photo(tmp_path / "clean" / name, seed=1)
    sheet = tmp_path / "sheet.png"
    lines = run(benchmark, capsys, "--hazy", tmp_path / "hazy", "--clean", tmp_path / "clean",
                "--longest", 40, "--sheet", sheet)  # fmt: skip
    columns = "input published dark_channel start double_dip seconds"
    assert lines[0].split() == columns.split()
    assert [line.split()[0] for line in lines[1:]] == ["a.png", "b.png", "mean"]
    assert images.read(sheet).pixels.shape == (2 * 144, 5 * 240, 3)


def test_mixtures_and_figures_are_made_from_photographs(benchmark, monkeypatch, tmp_path, capsys):
    for seed, name in enumerate(("1.png", "2.png")):
        write_photo(tmp_path / name, 48, 64, seed=seed)
    lines = run(benchmark, capsys, "--mixtures", tmp_path, "--limit", 1)
    assert lines[0].split()[:3] == ["input", "start", "double_dip"]
    monkeypatch.setattr(benchmark, "FIGURE_PX", 40)
    monkeypatch.setattr(benchmark, "RADIUS_PX", 12)
    monkeypatch.setattr(benchmark, "LOBES", ((1, 3, 0),))
    monkeypatch.setattr(benchmark, "FIGURES", (("1.png", "2.png"),))
    lines = run(benchmark, capsys, "--figures", tmp_path)
    assert lines[1].startswith("1 on 2")
    with pytest.raises(SystemExit):
        benchmark.main(["--hazy", str(tmp_path)])
