"""Noise as cameras make it: of the sensor by its ISO, the camera there and back, and both."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from degradations import (
    Camera,
    CameraNoise,
    RawNoise,
    at_frame,
    degrade,
    develop,
    luma,
    noise_of_iso,
    photograph,
    to_raw,
    tone,
    undo_tone,
)
from degradations.camera import _mixed
from degradations.types import map_tensors

PLAIN = {"luma_px": (0, 0), "chroma_px": (0, 0), "sharpening": (0, 0)}
QUIET = {"row_banding": (0, 0), "column_banding": (0, 0), "hot_share": (0, 0)}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def double(params):
    return map_tensors(params, lambda t: t.double() if t.is_floating_point() else t)


def picture(batch=1, height=24, width=26):
    """Smooth colours, as photographs are."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(rows / a + c) * torch.cos(columns / (a + 1) - c) for a, c in
             ((4.0, 0.0), (5.0, 1.0), (6.0, 2.0))]  # fmt: skip
    return (0.5 + 0.35 * torch.stack(waves)).double().expand(batch, 3, height, width)


def psnr(one, other):
    return -10 * math.log10((one - other).square().mean().item())


# The sensor


@pytest.mark.parametrize(("iso", "full_well"), [(100, 5e4), (1600, 1e4), (12800, 2e4)])
def test_noise_of_an_iso_is_that_of_its_electrons(iso, full_well):
    """n electrons have the variance n; amplified, 1 is full_well of them at ISO 100."""
    prior = RawNoise(iso=(iso, iso), full_well=(full_well,) * 2, read_electrons=(3, 3), **QUIET)
    level = 0.3
    electrons = level * full_well * 100 / iso
    expected = (electrons + 3**2) ** 0.5 / electrons * level
    flat = torch.full((1, 1, 300, 300), level)
    noise = degrade(flat, prior, stream()) - flat
    assert noise.std().item() == pytest.approx(expected, rel=0.01)
    assert abs(noise.mean().item()) < 4 * expected / 300


def test_noise_doubles_with_the_iso_in_the_dark_and_by_the_root_in_the_light():
    def params(iso):
        return RawNoise(iso=(iso, iso), full_well=(1e4, 1e4)).sample((1, 1, 2, 2), stream())

    (gain, sigma), (twice_gain, twice_sigma) = (noise_of_iso(params(iso)) for iso in (400, 800))
    torch.testing.assert_close(twice_gain, 2 * gain)  # of the variance
    torch.testing.assert_close(twice_sigma, 2 * sigma)


def test_banding_is_one_value_for_a_row_and_for_a_column():
    prior = RawNoise(read_electrons=(4, 4), row_banding=(5, 5), column_banding=(0, 0),
                     hot_share=(0, 0))  # fmt: skip
    black = torch.zeros(1, 1, 400, 60)
    params = prior.sample(black.shape, stream())
    bands = prior.apply(black, dataclasses.replace(params, eps=0 * params.eps))
    assert (bands == bands[..., :1]).all()
    _, sigma = noise_of_iso(params)
    assert bands[..., 0].std().item() == pytest.approx(5 * sigma.item(), rel=0.15)
    turned = dataclasses.replace(
        params, row_banding=params.column_banding, column_banding=params.row_banding,
        eps=0 * params.eps,
    )  # fmt: skip
    columns = prior.apply(black, turned)
    assert (columns == columns[..., :1, :]).all()


def test_hot_pixels_come_in_their_share_add_light_and_stay_where_they_are():
    prior = RawNoise(iso=(100, 100), hot_share=(0.01, 0.01))
    black, shape = torch.zeros(1, 1, 200, 200), (1, 1, 200, 200)
    params = prior.sample(shape, stream())
    hot = prior.apply(black, params) > 0.01
    assert hot.float().mean().item() == pytest.approx(0.01, abs=0.002)
    later = at_frame(prior, params, 5, shape, fps=25, generator=stream(9))
    assert torch.equal(prior.apply(black, later) > 0.01, hot)
    assert not torch.equal(later.eps, params.eps)
    assert not torch.equal(later.row_eps, params.row_eps)
    assert torch.equal(later.iso, params.iso)


def test_draws_of_another_size_are_refused():
    params = RawNoise().sample((1, 1, 8, 9), stream())
    wrong = dataclasses.replace(params, row_eps=torch.zeros(1, 9))
    with pytest.raises(ValueError, match=r"row_eps must have the shape \(1, 8\)"):
        RawNoise().apply(torch.zeros(1, 1, 8, 9), wrong)


# The camera


@pytest.mark.parametrize("contrast", [0.0, 1e-5, 1e-3, 0.4, 0.95])
def test_tone_is_undone(contrast):
    values = torch.linspace(-0.2, 1.2, 101, dtype=torch.float64).view(1, 1, 1, -1)
    curve = torch.tensor([contrast], dtype=torch.float64)
    torch.testing.assert_close(undo_tone(tone(values, curve), curve), values, rtol=0, atol=2e-9)
    torch.testing.assert_close(tone(undo_tone(values, curve), curve), values, rtol=0, atol=2e-9)


@pytest.mark.parametrize("contrast", [5e-5, 0.3, 0.9])
def test_undone_tone_has_right_gradients(contrast):
    values = torch.linspace(0.02, 0.98, 9, dtype=torch.float64).view(1, 1, 1, -1).requires_grad_()
    curve = torch.tensor([contrast], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(undo_tone, (values, curve), atol=1e-4, eps=1e-7)


def test_tone_that_cannot_be_undone_is_refused():
    with pytest.raises(ValueError, match=r"contrast must be .* at most 0\.95 .*got 1"):
        undo_tone(torch.rand(1, 3, 2, 2), torch.tensor([1.0]))


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.4])
def test_colours_of_overlapping_filters_are_mixed_and_parted(overlap):
    o = torch.tensor([overlap], dtype=torch.float64)
    light = torch.rand(1, 3, 4, 4, generator=stream(), dtype=torch.float64)
    there = _mixed(light, o, back=False)
    matrix = torch.tensor([[1 - overlap, overlap, 0], [overlap / 2, 1 - overlap, overlap / 2],
                           [0, overlap, 1 - overlap]], dtype=torch.float64)  # fmt: skip
    torch.testing.assert_close(there, torch.einsum("cd,bdhw->bchw", matrix, light))
    torch.testing.assert_close(_mixed(there, o, back=True), light)
    grey = light[:, :1].expand_as(light)
    torch.testing.assert_close(_mixed(grey, o, back=False), grey)


@pytest.mark.parametrize("seed", range(4))
def test_flat_ground_comes_back_from_any_camera(seed):
    params = double(Camera().sample((1, 3, 8, 8), stream(seed)))
    flat = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 8, 8).double()
    torch.testing.assert_close(photograph(flat, params), flat, rtol=0, atol=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_there_and_back_loses_what_demosaicing_loses(seed):
    """With all three colours on every site nothing would be lost: what is, interpolation lost."""
    params = double(Camera(correction=(1, 1), **PLAIN).sample((1, 3, 24, 26), stream(seed)))
    image = picture()
    back = photograph(image, params)
    assert psnr(back[..., 2:-2, 2:-2], image[..., 2:-2, 2:-2]) > 36
    shrunk = photograph(image[..., ::4, ::4], params)
    assert psnr(shrunk, image[..., ::4, ::4]) < psnr(back, image)  # finer detail, more is lost
    again = photograph(back, params)
    assert psnr(again, back) > psnr(back, image)  # what it can hold comes back


def test_measured_values_are_kept_by_developing():
    """The raw values of a developed picture are those it was developed from."""
    params = double(Camera(**PLAIN).sample((1, 3, 12, 14), stream(3)))
    raw = to_raw(picture(1, 12, 14), params)
    assert (to_raw(develop(raw, params), params) - raw).abs().mean() < 0.02


def test_cameras_smooth_colour_and_sharpen_brightness():
    image = picture(1, 48, 48) + 0.05 * torch.randn(
        1, 3, 48, 48, generator=stream(1), dtype=torch.float64
    )
    plain, smoothed, sharp = (
        photograph(image, double(Camera(**(PLAIN | change)).sample(image.shape, stream())))
        for change in ({}, {"chroma_px": (2, 2)}, {"sharpening": (1, 1)})
    )

    def parts(developed):
        y = luma(developed)
        return y.diff(dim=3).std().item(), (developed - y).diff(dim=3).std().item()

    (y, c), (smooth_y, smooth_c), (sharp_y, _) = map(parts, (plain, smoothed, sharp))
    assert smooth_y == pytest.approx(y, rel=1e-6)
    assert smooth_c < 0.6 * c
    assert sharp_y > 1.3 * y


# Both


def test_the_prior_has_the_ranges_of_both_and_its_own():
    names = {field.name for field in dataclasses.fields(CameraNoise)}
    parts = [{field.name for field in dataclasses.fields(prior)} for prior in (RawNoise, Camera)]
    assert names == parts[0] | parts[1] | {"noise_only"}
    for prior in (RawNoise, Camera):
        for field in dataclasses.fields(prior):
            assert getattr(CameraNoise(), field.name) == getattr(prior(), field.name)
    with pytest.raises(ValueError, match="overlap must be"):
        CameraNoise(overlap=(0.4, 0.5))


def test_without_noise_the_picture_comes_back_or_goes_through_the_camera():
    image = picture()
    silent = CameraNoise(iso=(100, 100), full_well=(1e12, 1e12), **QUIET)
    params = double(silent.sample(image.shape, stream()))
    torch.testing.assert_close(silent.apply(image, params), image, rtol=0, atol=1e-4)
    whole = dataclasses.replace(params, noise_only=torch.zeros(1).double())
    developed = photograph(image, params.camera)
    torch.testing.assert_close(silent.apply(image, whole), developed, rtol=0, atol=1e-4)
    assert (developed - image).abs().max() > 1e-3


def camera_noise(**changes):
    flat = torch.full((1, 3, 160, 160), 0.4)
    prior = CameraNoise(iso=(3200, 3200), full_well=(2e4, 2e4), **QUIET, **(PLAIN | changes))
    return degrade(flat, prior, stream()) - flat


def correlation(one, other):
    return ((one * other).mean() / (one.square().mean() * other.square().mean()).sqrt()).item()


def test_camera_noise_has_hardly_a_mean_and_is_shared_by_neighbours():
    noise = camera_noise()
    assert abs(noise.mean().item()) < 0.05 * noise.std().item()  # the tone curve bends
    assert correlation(noise[..., 1:], noise[..., :-1]) > 0.2


def test_smoothed_colour_leaves_coarse_noise_of_colour():
    lags = {}
    for width in (0.0, 2.5):
        noise = camera_noise(chroma_px=(width, width))
        colour = noise - luma(noise)
        lags[width] = correlation(colour[..., 3:], colour[..., :-3])
    assert lags[0.0] < 0.1
    assert lags[2.5] > 0.5


def test_overlapping_filters_make_stronger_noise_of_opposite_signs():
    narrow, wide = (camera_noise(overlap=(o, o), correction=(0, 0)) for o in (0.1, 0.33))
    assert wide.std() > 1.2 * narrow.std()
    assert correlation(wide[:, 0], wide[:, 1]) < correlation(narrow[:, 0], narrow[:, 1])


def test_frames_of_a_shot_have_one_camera():
    shape = (1, 3, 12, 12)
    params = CameraNoise().sample(shape, stream())
    later = at_frame(CameraNoise(), params, 2, shape, fps=25, generator=stream(1))
    assert later.camera is params.camera
    assert torch.equal(later.raw.iso, params.raw.iso)
    assert not torch.equal(later.raw.eps, params.raw.eps)


def test_a_camera_needs_three_colours():
    with pytest.raises(ValueError, match="3 channels"):
        degrade(torch.rand(1, 1, 8, 8), CameraNoise(), stream())
