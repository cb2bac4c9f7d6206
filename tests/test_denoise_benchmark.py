"""benchmarks/denoise.py: the noise that is fed, the rows, and what is not installed."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import pixels, save_restorer, write_photo

from ssl_restore import discover, weights
from ssl_restore.evaluation import metrics
from ssl_restore.io import images

FAST = ("OpenCV non-local means", "built-in", "BM3D")


@pytest.fixture
def benchmark(script, monkeypatch, tmp_path):
    tiny = save_restorer(tmp_path / "restorer.safetensors", task="denoise")
    monkeypatch.setattr(weights, "built_in", lambda task, quality="good": tiny)
    return script("denoise")


@pytest.fixture
def photos(tmp_path):
    for index in range(3):
        write_photo(tmp_path / "photos" / f"{index}.png", 40, 52, seed=index)
    return tmp_path / "photos"


def printed(capsys):
    """Name of the row -> its numbers, of the printed table."""
    lines = capsys.readouterr().out.splitlines()
    return lines[0], {line[:26].strip(): line[26:].split() for line in lines[2:]}


def test_noise_is_white_not_cut_off_and_drawn_for_each_picture_by_itself(benchmark, photos):
    cases = benchmark.synthetic(photos, 0.2, 0, None, None)
    error = np.stack([case.noisy - case.clean / 255 for case in cases])
    assert error.std() == pytest.approx(0.2, rel=0.02)  # 18,720 values: 4 standard errors
    assert cases[0].noisy.min() < 0
    assert cases[0].noisy.max() > 1
    assert abs(np.corrcoef(error[0].ravel(), error[1].ravel())[0, 1]) < 0.06
    alone = benchmark.synthetic(photos, 0.2, 0, None, 1)[0]
    assert np.array_equal(alone.noisy, cases[0].noisy)
    other = benchmark.synthetic(photos, 0.2, 1, None, 1)[0]
    assert not np.array_equal(other.noisy, cases[0].noisy)


def test_the_middle_is_taken_and_a_short_side_is_kept(benchmark):
    whole = pixels(9, 20)
    assert np.array_equal(benchmark.middle(whole, 6), whole[1:7, 7:13])
    assert benchmark.middle(whole, 12).shape == (9, 12, 3)
    assert benchmark.middle(whole, None) is whole


def test_input_rows_are_those_of_the_values_and_of_the_file(benchmark, photos):
    case = benchmark.synthetic(photos, 0.2, 0, None, 1)[0]
    fed, stored = benchmark.untouched(case)
    squared = ((255 * case.noisy - case.clean.astype(float)) ** 2).mean()
    assert fed.scores["psnr_rgb"] == pytest.approx(10 * np.log10(255**2 / squared), abs=1e-4)
    assert stored.scores == metrics.scores(case.in_8_bits, case.clean)
    assert stored.scores["psnr_rgb"] > fed.scores["psnr_rgb"]  # what is cut off was error


def test_a_row_for_every_method_and_one_that_says_what_is_missing(
    benchmark, photos, tmp_path, monkeypatch, capsys
):
    needs = {"BM3D": (("no_such_package",), benchmark.bm3d)}
    monkeypatch.setattr(benchmark, "OPTIONAL", benchmark.OPTIONAL | needs)
    (tmp_path / "mine").mkdir()
    own = save_restorer(tmp_path / "mine" / "restorer.safetensors", seed=1, task="denoise")
    words = ["--pictures", photos, "--crop", 32, "--limit", 2, "--weights", own, "--device", "cpu",
             "--csv", tmp_path / "rows.csv", "--sheet", tmp_path / "sheet.png",
             "--only", *FAST, "mine/restorer"]  # fmt: skip
    benchmark.main([str(word) for word in words])
    first, rows = printed(capsys)
    assert first == "2 pictures"
    assert list(rows) == ["input, as fed", "input, 8 bits", *FAST, "mine/restorer"]
    assert rows["BM3D"] == ["not", "installed"]
    assert rows["input, 8 bits"][4] == "-"
    assert rows["built-in"][:4] != rows["mine/restorer"][:4]
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1 + 2 * 5
    side = benchmark.SIDE_PX
    assert images.read(tmp_path / "sheet.png").pixels.shape == (24 + 2 * side, 4 * side, 3)


def test_pairs_are_real_noise_of_a_told_deviation(benchmark, photos, tmp_path, capsys):
    for case in benchmark.synthetic(photos, 0.1, 0, None, None):
        for kind, values in (("noisy", case.in_8_bits), ("clean", case.clean)):
            path = tmp_path / "real" / kind / f"{case.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, images.Picture(values))
    cases = benchmark.real(tmp_path / "real", None, None)
    assert [case.sigma for case in cases] == pytest.approx([0.18] * 3, rel=0.2)  # 0.15 its own
    benchmark.main(["--pairs", str(tmp_path / "real"), "--only", "OpenCV non-local means"])
    _, rows = printed(capsys)
    assert rows["input, as fed"][:4] == rows["input, 8 bits"][:4]
    images.write(tmp_path / "real" / "clean" / "0.png", images.Picture(pixels(40, 40)))
    with pytest.raises(SystemExit, match="0: the sizes are"):
        benchmark.main(["--pairs", str(tmp_path / "real"), "--only", "built-in"])


def test_wrong_calls_end_in_one_line(benchmark, photos, capsys):
    with pytest.raises(SystemExit, match=r"unknown method 'builtin'.*'built-in'"):
        benchmark.main(["--pictures", str(photos), "--only", "builtin"])
    for words in (["--crop", "0"], ["--sigma", "0"], ["--pairs", str(photos)]):
        with pytest.raises(SystemExit) as stop:
            benchmark.main(["--pictures", str(photos), *words])
        assert stop.value.code == 2


def test_every_solver_is_a_row(benchmark, photos):

    methods = benchmark.chosen(benchmark.parsed(["--pictures", str(photos)]))
    assert set(discover.names("solvers", "solve")) <= set(methods)
    assert {"built-in", *benchmark.OPTIONAL} <= set(methods)
