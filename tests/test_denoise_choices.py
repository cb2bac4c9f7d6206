"""`denoise` measures a picture and chooses how it restores it, and says what it chose."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from noisy import photograph, with_noise
from tiny import Means, save_restorer

from degradations import CorrelatedNoise, Noise, SaltPepper
from ssl_restore.calibration.noise import NoiseCalibration, PictureNoise
from ssl_restore.calibration.noise_verdict import remark
from ssl_restore.inference.denoising import Treatments
from ssl_restore.inference.tiles import restore
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore_cli.main import main

WHITE_NOISE = Noise(gain=(0, 0), sigma=(0.1, 0.1))
COARSE_NOISE = CorrelatedNoise(sigma=(0.1, 0.1), width_px=(2.5, 2.5))


@pytest.fixture(scope="module")
def photo():
    return photograph(260)


class Leaves(Means):
    """A restorer that takes nothing."""

    def forward(self, image):
        return image


def treated(pixels, restorer, name="a.png", **given):
    """Lines of what was chosen and of what is left, and the result."""
    lines = []
    treatments = Treatments(restorer.eval(), notify=lines.append, precision="fp32", **given)
    own, judge = treatments(name, Picture(pixels))
    result = restore(own, pixels, precision="fp32")
    judge(result)
    return lines, result


# What is chosen


def test_independent_noise_is_taken_pixel_by_pixel(photo):
    lines, _ = treated(with_noise(photo, WHITE_NOISE), Means())
    found = re.fullmatch(
        r"a\.png: noise of ([\d.]+) of 255, independent; grain 1, strength 1, white 255", lines[0]
    )
    assert float(found[1]) == pytest.approx(25.5, rel=0.15)
    assert len(lines) == 1


def test_a_coarser_grain_is_chosen_where_the_finer_leaves_coarse_noise(photo):
    (line, *_), _ = treated(with_noise(photo, COARSE_NOISE), Means(side=5))
    assert "grain 2" in line
    assert "correlation 0." in line
    for pixels in (
        photo,
        with_noise(photo, CorrelatedNoise(sigma=(0.1, 0.1), width_px=(0.5, 0.5))),
    ):
        (line, *_), _ = treated(pixels, Leaves())
        assert "grain 1" in line


def test_what_is_given_is_not_chosen(photo):
    pixels = with_noise(photo, COARSE_NOISE)
    (line, *_), _ = treated(pixels, Means(), grain=1, strength=0.5, white=250)
    assert line.endswith("grain 1, strength 0.5, white 250")


def test_a_picture_without_noise_is_left_as_it_is(photo):
    flat = np.full((100, 90, 3), (20, 90, 200), np.uint8)
    flat[30:60, 20:70] = 180
    lines, result = treated(flat, Means())
    assert lines == ["a.png: no noise; grain 1, strength 0, white 255"]
    assert np.array_equal(result, flat)
    _, blurred = treated(flat, Means(), strength=1.0)
    assert not np.array_equal(blurred, flat)


def test_ten_bits_in_a_file_of_16_have_their_white(photo):
    ten = with_noise(photo, WHITE_NOISE, most=1023, dtype=np.uint16)
    (line, *_), result = treated(ten, Means())
    assert line.endswith("white 1023")
    _, as_given = treated(ten, Means(), white=1023)
    assert np.array_equal(result, as_given)
    darkest = np.unravel_index(result.sum(axis=2).argmin(), result.shape[:2])
    ten[darkest] = 65535  # a hot pixel, which says nothing of the range
    (line, *_), result = treated(ten, Means())
    assert line.endswith("white 1023")
    assert result.max() < 1500


def test_broken_pixels_are_mended_and_writing_is_not(photo):
    salted = with_noise(photo, SaltPepper(share=(0.05, 0.05), salt=(0.5, 0.5), apart=0))
    (line, *more), result = treated(salted, Leaves())
    assert re.search(r"[45]\.\d % of the pixels broken; .* broken pixels mended$", line)
    assert not more
    assert ((result == 0) | (result == 255)).mean() < 0.01
    written = np.full((200, 200, 3), 120, np.uint8)
    written[5::9, 10:190:2] = written[8::9, 11:190:3] = 20  # dark strokes of a pixel
    lines, _ = treated(written, Leaves())
    assert "mended" not in "".join(lines)


def test_a_dark_picture_has_the_white_of_its_folder(tmp_path, photo):
    measured = PictureNoise("a", 0.0, 0.1, 0.1, 0.0, 1.0, 0.0, white=1023 / 65535)
    NoiseCalibration((measured,)).write(tmp_path / "noise.json")
    dark = with_noise(photo, WHITE_NOISE, most=200, dtype=np.uint16)
    for given, white in (({}, 255), ({"calibration": tmp_path / "noise.json"}, 1023)):
        (line, *_), _ = treated(dark, Means(), **given)
        assert line.endswith(f"white {white}")
    (line, *_), _ = treated(photo, Means(), calibration=tmp_path / "noise.json")
    assert line.endswith("white 255")


# What is left


def test_noise_that_is_left_is_said_once_for_a_picture(photo):
    lines, _ = treated(with_noise(photo, WHITE_NOISE), Leaves())
    assert len(lines) == 2
    assert lines[1].startswith("a.png: 100 % of the noise is left: `grain=2` takes coarse noise")


def test_noise_that_the_user_keeps_is_not_mourned(photo):
    lines, _ = treated(with_noise(photo, WHITE_NOISE), Means(), strength=0.1)
    assert len(lines) == 1


def row(level, correlation=0.05, impulse_share=0.0):
    return PictureNoise("", 0.0, level / 255, level / 255, correlation, 1.0, impulse_share)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (row(25), row(3), None),
        (row(25), row(13), "52 % of the noise is left"),
        (row(25), row(10), None),
        (row(3), row(3), None),  # hardly any
        (row(0), row(9), None),  # none to begin with
        (row(12, 0.6), row(12, 0.6), None),  # texture, as far as can be told
        (row(30, 0.6), row(28, 0.6), "93 % of the noise is left"),
        (row(5, 0.1, 0.06), row(5, 0.1, 0.05), "5.0 % of the pixels are still broken"),
        (row(5, 0.1, 0.06), row(1, 0.1, 0.01), None),
    ],
)
def test_much_is_left_where_half_of_it_is_and_it_cannot_be_texture(before, after, said):
    found = remark(before, after)
    assert found is None if said is None else found.startswith(said)


# The command


def denoise(*arguments):
    result = CliRunner().invoke(main, ["denoise", *map(str, arguments), "--precision", "fp32"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def tiny(tmp_path):
    return save_restorer(tmp_path / "tiny.safetensors", task="denoise")


def write(path, pixels, alpha=None):
    path.parent.mkdir(exist_ok=True)
    images.write(path, Picture(pixels, alpha))
    return path


def said(result):
    """Lines on stderr without the bar and the summary."""
    lines = [line.split("\r")[-1] for line in result.stderr.splitlines()]
    return [line for line in lines if ".png: " in line]


def test_pictures_that_are_treated_alike_share_a_line(tmp_path, tiny, photo):
    for number in range(3):
        write(tmp_path / "in" / f"{number}.png", with_noise(photo[: 200 + number], WHITE_NOISE))
    write(tmp_path / "in" / "z.png", with_noise(photo, WHITE_NOISE, most=1023, dtype=np.uint16))
    result = denoise(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 0, result.stderr
    chosen = [line for line in said(result) if "grain 1" in line]
    assert len(chosen) == 2
    assert sum("white 1023" in line for line in chosen) == 1


def test_what_is_left_is_said_with_the_options_of_the_command(tmp_path, photo):
    pixels = with_noise(photo, WHITE_NOISE)
    write(tmp_path / "a.png", pixels)
    torch.manual_seed(0)
    idle = save_restorer(tmp_path / "idle.safetensors", task="denoise", seed=3)
    result = denoise(tmp_path / "a.png", tmp_path / "b.png", "--weights", idle, "--strength", 1)
    assert result.exit_code == 0
    assert "--grain 2 takes coarse noise, --zero-shot learns" in said(result)[1]


def test_calibration_is_read_instead_of_measuring(tmp_path, tiny, photo):
    NoiseCalibration((row(40), row(44))).write(tmp_path / "noise.json")
    source = write(tmp_path / "a.png", with_noise(photo, WHITE_NOISE)[:50])  # too small to measure
    call = (source, tmp_path / "b.png", "--weights", tiny)
    result = denoise(*call, "--calibration", tmp_path / "noise.json")
    assert "noise of 42.0 of 255, independent" in said(result)[0]
    result = denoise(*call, "--overwrite")
    assert "noise not measured (260x50 is too small)" in said(result)[0]
    result = denoise(*call, "--overwrite", "--calibration", tmp_path / "none.json")
    assert result.exit_code == 1
    assert "none.json: could not be read" in result.stderr


@pytest.mark.parametrize(
    ("white", "message"),
    [(300, "--white 300 is beyond 255"), (3, "% of the values are above --white 3; give the")],
)
def test_white_that_cannot_be_is_named(tmp_path, tiny, photo, white, message):
    source = write(tmp_path / "a.png", photo)
    result = denoise(source, tmp_path / "b.png", "--weights", tiny, "--white", white)
    assert result.exit_code == 1
    assert re.search(rf"a\.png: [\d ]*{re.escape(message)}", result.stderr)
    assert not (tmp_path / "b.png").exists()


def test_a_calibration_is_not_for_zero_shot(tmp_path, photo):
    source = write(tmp_path / "a.png", photo)
    result = denoise(source, tmp_path / "b.png", "--zero-shot", "--calibration", "n.json")
    assert result.exit_code == 2
    assert "leave --calibration out" in result.stderr


def test_white_reaches_zero_shot_and_one_that_cannot_be_is_named(tmp_path, photo):
    source = write(tmp_path / "a.png", photo)
    result = denoise(source, tmp_path / "b.png", "--zero-shot", "--white", 3)
    assert result.exit_code == 1
    assert "% of the values are above --white 3; give the" in result.stderr


def odd_pictures():
    draws = np.random.default_rng(0)
    grey = draws.integers(60, 180, (100, 90, 1), np.uint8)
    two = draws.integers(60, 180, (100, 90, 3), np.uint8)
    two[:, :, 1] = two[:, :, 0]
    hot = np.zeros((90, 90, 3), np.uint16)
    hot[40, 40] = 65535
    return {
        "black": np.zeros((90, 90, 3), np.uint8),
        "black16": np.zeros((90, 90, 1), np.uint16),
        "hot_on_black": hot,
        "one_colour": np.full((90, 90, 3), (20, 90, 200), np.uint8),
        "one_bit": (draws.random((90, 90, 1)) < 0.5) * np.uint8(255),
        "only_noise": draws.integers(0, 256, (90, 90, 3), np.uint8),
        "only_noise16": draws.integers(0, 65536, (90, 90, 3), np.uint16),
        "grey": grey,
        "grey_in_three": grey.repeat(3, axis=2),
        "two_equal": two,
        "a_pixel": np.full((1, 1, 3), 70, np.uint8),
        "a_row": np.full((1, 70, 3), 70, np.uint8),
        "just_measured": draws.integers(60, 180, (64, 64, 3), np.uint8),
        "stripes": np.tile(np.uint8([[[70], [180]]]), (128, 64, 3)),
    }


def test_odd_pictures_come_out_in_their_size_and_type_with_no_trouble(tmp_path, tiny):
    given = odd_pictures()
    for name, pixels in given.items():
        write(tmp_path / "in" / f"{name}.png", pixels)
    noise = np.random.default_rng(1).integers(0, 256, (90, 80), np.uint8)
    write(tmp_path / "in" / "alpha.png", given["grey_in_three"][:90, :80], noise)
    result = denoise(tmp_path / "in", tmp_path / "out", "--weights", tiny)
    assert result.exit_code == 0, result.stderr
    for name, pixels in given.items():
        restored = images.read(tmp_path / "out" / f"{name}.png").pixels
        assert (restored.shape, restored.dtype) == (pixels.shape, pixels.dtype), name
    assert np.array_equal(images.read(tmp_path / "out" / "alpha.png").alpha, noise)
    for name in ("one_colour",):
        restored = images.read(tmp_path / "out" / f"{name}.png").pixels
        assert np.array_equal(restored, given[name])
