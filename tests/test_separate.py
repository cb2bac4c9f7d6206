"""`ssl-restore separate`: files in and out, and what goes wrong in one line."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import pixels, write_photo

from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore_cli.main import main

QUICK = ("--steps", 2, "--side", 32, "--precision", "fp32")


def separate(*arguments, quick=QUICK):
    result = CliRunner().invoke(main, ["separate", *map(str, arguments), *map(str, quick)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def write_hints(path, *, figure=True, ground=True, size=(24, 40)):
    marks = np.full((*size, 1), 128, np.uint8)
    if figure:
        marks[10:14, 15:20] = 255
    if ground:
        marks[:3, :3] = 0
    images.write(path, Picture(marks))
    return path


@pytest.fixture
def photo(tmp_path):
    return write_photo(tmp_path / "in.png")


@pytest.fixture
def mixtures(tmp_path):
    one, other = (pixels(24, 40, seed=seed).astype(float) for seed in (1, 2))
    paths = []
    for name, weight in (("m1", 0.7), ("m2", 0.3)):
        values = (weight * one + (1 - weight) * other[::-1]).round().astype(np.uint8)
        images.write(tmp_path / f"{name}.png", Picture(values))
        paths.append(tmp_path / f"{name}.png")
    return paths


def test_haze_gives_its_layers_with_the_depth_of_the_picture(tmp_path):
    source = write_photo(tmp_path / "in.png", dtype=np.uint16)
    before = source.read_bytes()
    result = separate(source, tmp_path / "out", "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.stderr
    expected = [tmp_path / "out" / f"{n}.png" for n in ("clean", "transmission", "airlight")]
    assert result.stdout.split() == [str(path) for path in expected]
    clean, transmission, _ = (images.read(path).pixels for path in expected)
    assert clean.shape == (24, 40, 3)
    assert transmission.shape == (24, 40, 1)
    assert clean.dtype == transmission.dtype == np.uint16
    assert images.read(tmp_path / "sheet.png").pixels.shape[1] == 3 * 240
    assert source.read_bytes() == before


def test_two_mixtures_and_one_give_their_layers(mixtures, tmp_path):
    result = separate(*mixtures, tmp_path / "two", "--use", "layers")
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in (tmp_path / "two").glob("*.png")}
    assert names == {"layer_1.png", "layer_2.png", "weight_1.png", "weight_2.png"}
    result = separate(mixtures[0], tmp_path / "one", "--use", "layers")
    assert result.exit_code == 0
    assert "one mixture does not tell its layers" in result.stderr


def test_segmentation_takes_hints(photo, tmp_path):
    hints = write_hints(tmp_path / "hints.png")
    out = tmp_path / "out"
    result = separate(photo, out, "--use", "segmentation", "--hints", hints)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in out.glob("*.png")} == {"figure.png", "ground.png", "mask.png"}
    assert images.read(out / "mask.png").pixels.shape == (24, 40, 1)


def test_layers_that_exist_are_replaced_only_when_asked(photo, tmp_path):
    out = tmp_path / "out"
    assert separate(photo, out).exit_code == 0
    result = separate(photo, out)
    assert result.exit_code == 1
    assert "clean.png: exists; --overwrite replaces it" in result.stderr
    assert separate(photo, out, "--overwrite").exit_code == 0


def test_input_is_never_replaced(tmp_path):
    source = write_photo(tmp_path / "clean.png")
    before = source.read_bytes()
    for extra in ((), ("--sheet", source)):
        result = separate(source, tmp_path / "out" if extra else tmp_path, "--overwrite", *extra)
        assert result.exit_code == 1
        assert "clean.png: is one of the inputs" in result.stderr
    assert source.read_bytes() == before


def fails(result, code, *said):
    assert result.exit_code == code
    assert "Traceback" not in result.stderr
    assert all(text in result.stderr for text in said), result.stderr
    if code == 1:
        assert result.stderr.count("\n") == 1


def test_wrong_calls_are_one_line_and_write_nothing(photo, mixtures, tmp_path):
    out = tmp_path / "out"
    hints = write_hints(tmp_path / "hints.png")
    small = write_photo(tmp_path / "small.png", 24, 36)
    dot = write_photo(tmp_path / "dot.png", 1, 1)
    segment = (photo, out, "--use", "segmentation", "--hints")
    odd = write_hints(tmp_path / "odd.png", size=(24, 36))
    unmarked = write_hints(tmp_path / "none.png", figure=False, ground=False)
    half = write_hints(tmp_path / "half.png", ground=False)
    layers = ("--use", "layers")
    fails(separate(*segment, odd), 1, "odd.png: 36 x 24, but", "in.png is 40 x 24")
    fails(separate(*segment, unmarked), 1, "none.png: no figure (white) is marked")
    fails(separate(*segment, half), 1, "half.png: no ground (black) is marked")
    fails(separate(*segment, tmp_path / "x.png"), 1, "x.png: no such file")
    fails(separate(photo, out, "--hints", hints), 2, "--use haze takes no --hints")
    fails(separate(*mixtures, out), 2, "--use haze takes one picture")
    fails(separate(*mixtures, photo, out, *layers), 2, "one INPUT or two")
    fails(separate(mixtures[0], small, out, *layers), 1, "small.png: 36 x 24, but", "m1.png")
    fails(separate(mixtures[0], mixtures[0], out, *layers), 1, "m1.png: both mixtures are the same")
    fails(separate(dot, out), 1, "dot.png: 1 x 1 is too small to separate")
    fails(separate(photo, out, "--seconds", "0.000001"), 2, "--seconds: 1e-06 is less than a step")
    fails(separate(photo, out, "--seconds", "0"), 2, "--seconds")
    fails(separate(photo, out, "--sheet", tmp_path / "sheet.gif"), 2, "sheet.gif: unknown suffix")
    fails(separate(photo, out, "--sheet", out / "clean.png"), 1, "clean.png: is one of the layers")
    fails(separate(tmp_path / "missing.png", out), 1, "missing.png: no such file")
    assert not out.exists()


def test_same_seed_gives_the_same_files(photo, tmp_path):
    files = []
    for number, seed in enumerate((3, 3, 4)):
        out = tmp_path / str(number)
        assert separate(photo, out, "--seed", seed).exit_code == 0
        files.append((out / "clean.png").read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]
