"""`ssl-restore inpaint`: pictures and masks of every kind, and what goes wrong."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import pixels, write_photo

from ssl_restore import discover
from ssl_restore.io import images
from ssl_restore.io.masks import read_mask
from ssl_restore.io.picture import Picture
from ssl_restore.solvers import deep_image_prior
from ssl_restore_cli.main import main


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The network is a small one."""
    solve = partial(deep_image_prior.solve, width=8)
    monkeypatch.setattr(discover, "solver", lambda name: solve)


def inpaint(*arguments):
    result = CliRunner().invoke(main, ["inpaint", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def write_mask(path, height=24, width=40, share=0.3, dtype=np.uint8):
    """White in a share of the pixels; they are returned."""
    lost = np.random.default_rng(7).random((height, width)) < share
    peak = np.iinfo(dtype).max
    images.write(path, Picture((lost[:, :, None] * peak).astype(dtype)))
    return lost


@pytest.fixture
def picture(tmp_path):
    return write_photo(tmp_path / "in.png")


@pytest.fixture
def mask(tmp_path):
    write_mask(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_known_pixels_depth_grey_alpha_and_profile_are_kept(channels, dtype, tmp_path):
    plain = pixels(30, 45, channels=channels, dtype=dtype)
    alpha = pixels(30, 45, channels=1, dtype=dtype, seed=1)[:, :, 0]
    images.write(tmp_path / "in.png", Picture(plain, alpha, icc=b"profile" * 20))
    before = images.read(tmp_path / "in.png")
    lost = write_mask(tmp_path / "mask.png", 30, 45, dtype=dtype)
    target = tmp_path / "out.png"
    result = inpaint(
        tmp_path / "in.png", target, "--mask", tmp_path / "mask.png", "--steps", 2
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{target}\n"
    after = images.read(target)
    assert np.array_equal(after.pixels[~lost], plain[~lost])
    assert (after.pixels[lost] != plain[lost]).mean() > 0.9
    assert after.pixels.dtype == dtype
    assert after.pixels.shape == plain.shape
    assert np.array_equal(after.alpha, alpha)
    assert after.icc == before.icc


def test_scratches_of_a_smooth_picture_are_filled(tmp_path):
    ramp = np.linspace(60, 200, 64).astype(np.uint8)
    clean = np.broadcast_to(ramp[:, None, None], (64, 48, 3)).copy()
    lost = np.zeros((64, 48), bool)
    lost[:, 20:23] = lost[30:32] = True
    scratched = np.where(lost[:, :, None], np.uint8(255), clean)
    images.write(tmp_path / "in.png", Picture(scratched))
    images.write(tmp_path / "mask.png", Picture(lost[:, :, None] * np.uint8(255)))
    result = inpaint(
        tmp_path / "in.png", tmp_path / "out.png", "--mask", tmp_path / "mask.png", "--steps", 100
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    error = images.read(tmp_path / "out.png").pixels.astype(float) - clean
    assert np.abs(error[lost]).mean() < 12
    assert not error[~lost].any()


def test_the_same_seed_gives_the_same_file_and_another_one_not(picture, mask, tmp_path):
    files = []
    for number, seed in enumerate((1, 1, 2)):
        target = tmp_path / f"{number}.png"
        assert inpaint(picture, target, "--mask", mask, "--steps", 2, "--seed", seed).stdout
        files.append(target.read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_a_result_is_replaced_only_when_asked_and_an_input_never(picture, mask, tmp_path):
    target = write_photo(tmp_path / "out.png", seed=5)
    kept = [path.read_bytes() for path in (picture, mask, target)]
    for output, option, said in (
        (target, (), "exists; --overwrite replaces it"),
        (picture, ("--overwrite",), "is the input itself"),
        (mask, ("--overwrite",), "is one of the inputs"),
    ):
        result = inpaint(picture, output, "--mask", mask, "--steps", 2, *option)
        assert result.exit_code == 1
        assert said in result.stderr
    assert [path.read_bytes() for path in (picture, mask, target)] == kept
    assert inpaint(picture, target, "--mask", mask, "--steps", 2, "--overwrite").exit_code == 0
    assert target.read_bytes() != kept[2]


def white(path, *size):
    images.write(path, Picture(np.full((*size, 1), 255, np.uint8)))


def black(path, *size):
    images.write(path, Picture(np.zeros((*size, 1), np.uint8)))


@pytest.mark.parametrize(
    ("size", "paint", "arguments", "said"),
    [
        ((24, 40), partial(write_mask, height=24, width=39), (),
         "mask.png: the mask has 39 x 24 pixels, but the picture 40 x 24; give one of the same"),
        ((24, 40), lambda path: black(path, 24, 40), (),
         "mask.png: nothing is white in it; paint white what is to be changed"),
        ((24, 40), lambda path: white(path, 24, 40), (),
         "mask.png: all of it is white; leave black what is to stay"),
        ((1, 1), lambda path: white(path, 1, 1), (), "mask.png: all of it is white"),
        ((1, 1), lambda path: black(path, 1, 1), (), "mask.png: nothing is white in it"),
        ((24, 40), lambda path: path.write_bytes(b"no picture"), (), "mask.png: not a PNG"),
        ((24, 40), lambda path: None, (), "mask.png: no such file"),
        ((24, 40), write_mask, ("--seconds", 1e-6),
         "in.png: a step takes"),
        ((24, 40), write_mask, ("--max-pixels", 100), "in.png: 40 x 24 is 0.0 Mpixel, over the"),
        ((24, 40), write_mask, ("--device", "gpu7"), "--device: 'gpu7' is unknown"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(size, paint, arguments, said, tmp_path):
    source, mask = write_photo(tmp_path / "in.png", *size), tmp_path / "mask.png"
    paint(mask)
    before = sorted(tmp_path.iterdir())
    result = inpaint(source, tmp_path / "out.png", "--mask", mask, *arguments)
    assert result.exit_code == (2 if "--device" in arguments else 1)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing option '--mask'"),
        (("--mask", "m.png", "--seconds", 0), "--seconds"),
        (("--mask", "m.png", "--steps", 0), "--steps"),
    ],
)
def test_a_wrong_call_is_a_usage_error(arguments, said, picture, tmp_path):
    result = inpaint(picture, tmp_path / "out.png", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_folder_is_no_picture(mask, tmp_path):
    write_photo(tmp_path / "folder" / "a.png")
    result = inpaint(tmp_path / "folder", tmp_path / "out", "--mask", mask)
    assert result.exit_code == 1
    assert "folder: is a folder; name a picture in it" in result.stderr
    assert not (tmp_path / "out").exists()


def test_seconds_end_the_learning(picture, mask, tmp_path):
    arguments = ("--mask", mask, "--seconds", 0.3, "--steps", 100_000)
    result = inpaint(picture, tmp_path / "out.png", *arguments)
    assert result.exit_code == 0, result.stderr
    assert "1 restored, by deep_image_prior" in result.stderr
    assert "in.png: the time was up after" in result.stderr


def test_soft_edges_count_as_white_and_transparent_pixels_as_black(tmp_path):
    grey = np.array([[0, 20, 40, 255]], np.uint8)[:, :, None]
    images.write(tmp_path / "a.png", Picture(grey))
    assert read_mask(tmp_path / "a.png", (1, 4)).tolist() == [[False, False, True, True]]
    alpha = np.array([[255, 255, 255, 0]], np.uint8)
    images.write(tmp_path / "b.png", Picture(grey.repeat(3, axis=2), alpha))
    assert read_mask(tmp_path / "b.png", (1, 4)).tolist() == [[False, False, True, False]]
