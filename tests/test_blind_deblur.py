"""Blind deblurring: its physics against `degradations`, what it finds, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F

from degradations.blur import BlurParams, blur, blur_kernel, blur_light
from degradations.kernels import convolve, path_kernel
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.solvers import blur_evidence
from ssl_restore.solvers import blur_kernel as kernels
from ssl_restore.solvers.blind_deblur import solve
from ssl_restore.solvers.deconvolution import deconvolve, deconvolve_large, differences, divergence
from ssl_restore_cli.main import main

PHOTOS = Path(__file__).resolve().parents[1] / "data_samples" / "photos"
PATH_PX = torch.tensor([[-5.0, -3.0, 0.0, 4.0, 6.0], [4.0, 0.0, -2.0, 1.0, -3.0]])  # x, y


def shapes(height=160, width=176, seed=0):
    """Discs and bars of even grey, (1, 3, H, W): edges in all directions."""
    draws, canvas = np.random.default_rng(seed), np.full((height, width), 0.4, np.float32)
    for _ in range(60):
        place = tuple(int(v) for v in draws.integers(0, (width, height)))
        size, value = int(draws.integers(4, 18)), float(draws.uniform(0.1, 0.9))
        if draws.random() < 0.5:
            cv2.circle(canvas, place, size, value, -1)
        else:
            other = tuple(int(v) for v in np.add(place, draws.integers(-40, 40, 2)))
            cv2.line(canvas, place, other, value, max(2, size // 3))
    return torch.from_numpy(canvas).expand(1, 3, -1, -1).contiguous()


def photograph(name, height=160, width=192):
    pixels = images.read(PHOTOS / f"{name}.jpg").pixels[60 : 60 + height, 100 : 100 + width]
    return images.to_tensor(pixels)


def shaken(image, seed=0, sigma=0.003):
    """By a winding way, on the values as they are, with noise, stored in 8 bits."""
    kernel = path_kernel(*PATH_PX)
    noise = sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (255 * (convolve(image[0], kernel)[None] + noise)).round().clamp(0, 255) / 255, kernel


def psnr(one, other):
    """Best of small shifts: picture and kernel can be shifted against each other."""
    one, inner = one.clamp(0, 1), other[..., 4:-4, 4:-4]
    height, width = inner.shape[-2:]
    errors = [
        (one[..., top : top + height, left : left + width] - inner).square().mean()
        for top in range(9) for left in range(9)
    ]  # fmt: skip
    return float(-10 * torch.stack(errors).min().log10())


def likeness(one, other):
    """Largest normalised cross-correlation of two kernels over all shifts, 1 at most."""
    wide = F.pad(one[None, None], (len(other),) * 4)
    return float(F.conv2d(wide, other[None, None]).max() / (one.norm() * other.norm()))


def run(*arguments):
    return CliRunner().invoke(main, ["deblur", *map(str, arguments)])


def test_divergence_is_the_adjoint_of_differences():
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(2, 9, 12, generator=draws)
    y = torch.randn(2, 2, 9, 12, generator=draws)
    torch.testing.assert_close((differences(x) * y).sum(), (x * divergence(y)).sum())


def test_deconvolution_inverts_a_known_blur_up_to_the_border():
    """Of `degradations`, whose border mirrors; the deconvolution assumes nothing of it."""
    sharp, zero = photograph("toucan"), torch.zeros(1)
    params = BlurParams(zero + 0.5, zero, zero + 9, zero + 0.6)
    blurred = blur_light(sharp, params)[0]
    kernel = blur_kernel(params)
    found = deconvolve(blurred, kernel, weight=2e-5, iterations=60)
    before, after = psnr(blurred, sharp[0]), psnr(found, sharp[0])
    assert after > before + 9
    again = convolve(found, kernel)
    reach = len(kernel) // 2
    assert (again - blurred)[:, reach:-reach, reach:-reach].abs().mean() < 2e-3
    edge = (found - sharp[0])[:, :6].square().mean().sqrt()
    assert edge < (blurred - sharp[0])[:, :6].square().mean().sqrt()


def test_a_point_as_kernel_changes_nothing():
    image = shapes()[0]
    found = deconvolve(image, kernels.point(9, image), weight=1e-6)
    assert (found - image).abs().max() < 0.01


def test_saturated_lights_do_not_ring():
    """A lamp eight times as bright as white; what was cut off is no constraint."""
    scene = 0.3 * shapes()[0]
    scene[:, 80:86, 90:96] = 8.0
    kernel = path_kernel(*PATH_PX)
    stored = convolve(scene, kernel).clamp(0, 1)
    around = torch.zeros_like(scene, dtype=torch.bool)
    around[:, 55:112, 62:124] = True
    around[:, 76:90, 86:100] = False

    def error(saturated):
        found = deconvolve(stored, kernel, weight=5e-4, saturated=saturated).clamp(0, 1)
        return (found - scene)[around].square().mean()

    assert error(stored >= 1) < error(None) / 4


def test_pieces_are_the_whole_without_seams(monkeypatch):
    image, kernel = shaken(shapes(200, 260))
    whole = deconvolve(image[0], kernel, weight=1e-3)
    monkeypatch.setattr("ssl_restore.solvers.deconvolution.PIECE_PX", 128)
    parts = deconvolve_large(
        image[0], kernel, weight=1e-3, saturated=torch.zeros_like(image[0], dtype=torch.bool)
    )
    assert (parts - whole).abs().mean() < 0.004
    assert (parts - whole).abs().max() < 0.12


def test_least_squares_find_the_kernel_between_two_pictures():
    image = shapes()[0, :1]
    blurred = convolve(image, path_kernel(*PATH_PX))
    inside = torch.zeros_like(image)
    inside[:, 10:-10, 10:-10] = 1  # no border
    edges, seen = ((inside * differences(part))[:, 0] for part in (image, blurred))
    found = kernels.least_squares(edges, seen, 17, 1e-3)
    assert likeness(found, path_kernel(*PATH_PX)) > 0.93
    assert found.min() >= 0


def test_a_kernel_is_cleaned_and_centred():
    kernel = torch.zeros(15, 15)
    kernel[2:5, 3] = torch.tensor([1.0, 2.0, 1.0])
    kernel[12, 12] = 0.3  # detached
    kernel[3, 4] = 0.01  # small
    found = kernels.centred(kernels.cleaned(kernel, 0.05))
    expected = torch.zeros(15, 15)
    expected[6:9, 7] = torch.tensor([0.25, 0.5, 0.25])
    torch.testing.assert_close(found, expected)
    (down, right), radius = kernels.moments(found)
    assert (down, right) == (0, 0)
    assert radius == pytest.approx(0.5**0.5)
    assert torch.equal(kernels.cleaned(torch.zeros(5, 5), 0.05), kernels.point(5, kernel))


@pytest.mark.parametrize("side", [3, 5, 15, 31, 75])
def test_the_pyramid_ends_at_the_kernel_that_was_asked_for(side):
    scales, sides = zip(*kernels.levels(side), strict=True)
    assert scales[-1] == 1
    assert sides[-1] == side
    assert sides[0] <= 5
    assert list(sides) == sorted(sides)
    assert all(s % 2 == 1 for s in sides)


def test_the_kernel_of_a_shaken_picture_is_found_and_undone():
    sharp = shapes()
    blurred, kernel = shaken(sharp)
    said = []
    layers = solve(blurred, notify=said.append)
    assert likeness(layers["kernel"][0, 0], kernel) > 0.9
    assert layers["kernel"].max() == 1
    assert psnr(layers["clean"], sharp) > psnr(blurred, sharp) + 6
    assert said == []
    again = convolve(layers["clean"][0], layers["kernel"][0, 0] / layers["kernel"].sum())
    assert (again - blurred[0]).abs().mean() < 0.02  # re-blurred it is the picture


@pytest.mark.parametrize(("name", "linear"), [("mariachi", True), ("pont_du_gard", False)])
def test_a_photograph_gets_nearer_to_its_original(name, linear):
    """Blurred in linear light, as by a camera, or on the values of the file."""
    sharp, zero = photograph(name), torch.zeros(1)
    params = BlurParams(zero + 0.4, zero, zero + 9, zero + 0.9)
    made = blur(sharp, params) if linear else blur_light(sharp, params)
    blurred = (255 * made).round().clamp(0, 255) / 255
    assert psnr(solve(blurred)["clean"], sharp) > psnr(blurred, sharp) + 1.5


def test_a_sharp_photograph_comes_back_and_it_is_said():
    sharp, said = photograph("great_wall"), []
    layers = solve(sharp, notify=said.append)
    assert torch.equal(layers["clean"], sharp)
    assert layers["kernel"].sum() == 1
    assert said == ["hardly any blur was found in it: it stays as it is"]


def test_the_spectrum_tells_a_kernel_from_a_made_up_one():
    sharp = photograph("mariachi")
    blurred, kernel = shaken(sharp)
    true, wrong = (blur_evidence.support(p[0].mean(dim=0), kernel) for p in (blurred, sharp))
    assert true > 0.5
    assert wrong < 0.35


@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_white_noise_is_measured(sigma):
    noise = sigma * torch.randn(1, 200, 200, generator=torch.Generator().manual_seed(0))
    assert blur_evidence.noise_sigma(0.5 + noise[0]) == pytest.approx(sigma, rel=0.05)


def test_the_crop_is_where_edges_have_several_directions():
    grey = torch.full((300, 400), 0.5)
    grey[:, :200] += 0.3 * (torch.arange(200) // 10 % 2)  # stripes: one direction
    grey[150:, 250:] = shapes(150, 150)[0, 0]
    saturated = torch.zeros_like(grey, dtype=torch.bool)
    rows, columns = blur_evidence.telling_crop(grey, saturated, 128)
    assert rows.start >= 120
    assert columns.start >= 220
    assert (rows.stop - rows.start, columns.stop - columns.start) == (128, 128)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_picture_without_edges_has_no_kernel(value):
    with pytest.raises(UserError, match=r"no kernel can be found: .*; give a picture, or a part"):
        solve(torch.full((1, 3, 64, 64), value))


def test_noise_alone_is_no_texture():
    noise = 0.02 * torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    try:
        layers = solve(0.5 + noise)
    except UserError:
        return
    assert torch.equal(layers["clean"], 0.5 + noise)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (2, 90), (31, 200)])
def test_a_tiny_picture_is_refused(size):
    with pytest.raises(UserError, match=f"{size[1]} x {size[0]} is too small .* at least 32 x 32"):
        solve(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("side", [2, -5, 65, 999])
def test_a_kernel_larger_than_the_picture_is_refused(side):
    with pytest.raises(UserError, match=f"`kernel_px` from 3 to 64, .* got {side}; leave it out"):
        solve(shapes(64, 80), kernel_px=side)


@pytest.mark.parametrize(
    ("height", "width", "side"), [(33, 201, None), (301, 35, 15), (64, 64, 32)]
)
def test_tall_wide_and_odd_pictures(height, width, side):
    image, _ = shaken(shapes(height, width))
    layers = solve(image, kernel_px=side)
    assert layers["clean"].shape == image.shape
    assert layers["clean"].isfinite().all()
    assert layers["kernel"].shape[-1] <= (side or 31)


def test_the_same_picture_gives_the_same_bits_and_shares_rise_to_one():
    image, _ = shaken(shapes(72, 80))
    shares = []
    one, again = (solve(image, kernel_px=15, progress=shares.append) for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    half = shares[: len(shares) // 2]
    assert half == sorted(half)
    assert half[-1] == 1


def test_seconds_end_it_and_that_is_said():
    image, _ = shaken(shapes(160, 160))
    said = []
    layers = solve(image, seconds=0.05, kernel_px=21, notify=said.append)
    assert layers["clean"].isfinite().all()
    assert all("give more `seconds`" in line or "hardly any" in line for line in said)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint16), (3, np.uint8)])
def test_the_command_keeps_depth_and_alpha_and_writes_the_kernel(tmp_path, channels, dtype):
    sharp = shapes(120, 131)
    image, _ = shaken(sharp)
    pixels = images.to_pixels(image, np.zeros((120, 131, channels), dtype))
    alpha = np.linspace(0, np.iinfo(dtype).max, pixels[..., :1].size).astype(dtype)
    alpha = alpha.reshape(pixels.shape[:2])
    images.write(tmp_path / "a.png", Picture(pixels, alpha=alpha))
    options = ("--layers", tmp_path / "kernels", "--kernel-px", 15)
    result = run(tmp_path / "a.png", tmp_path / "b.png", *options)
    assert result.exit_code == 0, result.output
    assert "by blind_deblur" in result.stderr
    after = images.read(tmp_path / "b.png")
    assert (after.pixels.shape, after.pixels.dtype) == (pixels.shape, pixels.dtype)
    assert np.array_equal(after.alpha, alpha)
    clean = images.to_tensor(after.pixels)
    assert psnr(clean, sharp) > psnr(image, sharp) + 2
    kernel = images.read(tmp_path / "kernels" / "a.png").pixels
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.max() == np.iinfo(dtype).max


def test_method_and_strength_of_the_command(tmp_path):
    image, _ = shaken(shapes(96, 96))
    pixels = images.to_pixels(image, np.zeros((96, 96, 3), np.uint8))
    images.write(tmp_path / "a.png", Picture(pixels))
    options = ("--method", "blind_deblur", "--kernel-px", 15, "--strength", 0)
    result = run(tmp_path / "a.png", tmp_path / "b.png", *options)
    assert result.exit_code == 0, result.output
    assert np.array_equal(images.read(tmp_path / "b.png").pixels, pixels)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--kernel-px", 300), "--kernel-px from 3 to 96, the shorter side of the picture"),
        (("--kernel-px", 1), "--kernel-px"),
        (("--quality", "best"), "--quality belongs to --weights"),
        (("--method", "blind_debur"), "did you mean 'blind_deblur'"),
        (("--weights", "no.safetensors", "--seconds", 3), "leave --weights out"),
        (("--weights", "no.safetensors"), "no.safetensors"),
        (("--weights", "no.safetensors", "--method", "blind_deblur"), "starts from none"),
    ],
)
def test_wrong_calls_are_one_line_and_write_nothing(tmp_path, options, expected):
    pixels = images.to_pixels(shapes(96, 96), np.zeros((96, 96, 3), np.uint8))
    images.write(tmp_path / "a.png", Picture(pixels))
    result = run(tmp_path / "a.png", tmp_path / "b.png", *options)
    assert result.exit_code in (1, 2)
    assert expected in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "b.png").exists()


def test_a_white_page_is_refused_by_name_and_the_folder_goes_on(tmp_path):
    (tmp_path / "in").mkdir()
    images.write(tmp_path / "in" / "white.png", Picture(np.full((64, 64, 3), 255, np.uint8)))
    image, _ = shaken(shapes(96, 96))
    pixels = images.to_pixels(image, np.zeros((96, 96, 3), np.uint8))
    images.write(tmp_path / "in" / "shaken.png", Picture(pixels))
    result = run(tmp_path / "in", tmp_path / "out", "--kernel-px", 15)
    assert result.exit_code == 1
    assert "white.png: no kernel can be found" in result.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["shaken.png"]
