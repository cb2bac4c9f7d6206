"""Scenes as cameras see them in rain, and what a fixed camera teaches."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from degradations import Rain
from degradations.blur import BlurParams, blur
from degradations.color import luma, to_linear
from degradations.sampling import sample_params
from ssl_restore.networks import unet
from ssl_restore.objectives import scenes
from ssl_restore.objectives.fixed_camera import FAINTEST, FixedCamera, moved_layer
from ssl_restore.types import Batch


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def photographs(count=6, size=48):
    return torch.rand(count, 3, size, size, generator=stream(9))


def sharpness(image):
    """Mean square step from pixel to pixel of each picture."""
    return image.diff(dim=3).square().mean(dim=(1, 2, 3))


def test_defocus_is_the_blur_of_the_library_but_at_the_border():
    image = photographs(3, 80)
    params = sample_params(scenes.DEFOCUS, image, stream())
    inner = (..., slice(36, -36), slice(36, -36))
    found, expected = scenes._blurred(image, params), blur(image, params)
    torch.testing.assert_close(found[inner], expected[inner], rtol=0, atol=1e-5)
    assert found.isfinite().all()


CHANGES = [scenes.graded, scenes.out_of_focus, scenes.with_lights, scenes.in_mist, scenes.blocky]


@pytest.mark.parametrize("change", CHANGES)
def test_a_share_of_the_scenes_is_changed_and_the_others_are_not(change):
    image = photographs(40, 32)
    kept, all_changed, some = (change(image, share, stream()) for share in (0.0, 1.0, 0.5))
    assert torch.equal(kept, image)
    assert (all_changed != image).flatten(1).any(dim=1).all()
    changed = (some != image).flatten(1).any(dim=1)
    assert 8 < int(changed.sum()) < 32
    assert torch.equal(change(image, 0.5, stream()), some)
    assert all_changed.min() > -1e-3
    assert all_changed.max() < 1 + 1e-3


def test_out_of_focus_scenes_are_softer():
    image = photographs(20, 32)
    assert (sharpness(scenes.out_of_focus(image, 1.0, stream())) < sharpness(image)).all()


def test_recoloured_pictures_have_the_same_channels_in_another_order():
    image = photographs(40, 8)
    assert torch.equal(scenes.recoloured(image, 0.0, stream()), image)
    found = scenes.recoloured(image, 0.5, stream())
    assert 8 < int((found != image).flatten(1).any(dim=1).sum()) < 28  # one order of six is its own
    for one, other in zip(image, found, strict=True):
        assert {tuple(channel.flatten().tolist()) for channel in one} == {
            tuple(channel.flatten().tolist()) for channel in other
        }


def test_graded_pictures_have_other_gains_and_another_saturation():
    """g (Y + s (J - Y)): what grey pixels tell of g gives back the others up to one s."""
    image = 0.3 + 0.2 * photographs(20, 16)
    image[..., 0] = image[:, :1, :, 0]  # grey
    found = scenes.graded(image, 1.0, stream())
    gain = (found[..., 0] / image[..., 0]).mean(dim=2)[..., None, None]
    away, expected = ((one - luma(one)).flatten(1) for one in (found / gain, image))
    saturation = (away * expected).sum(1) / expected.square().sum(1)
    assert saturation.min() < 0.4
    assert saturation.max() > 1.2
    torch.testing.assert_close(away, saturation[:, None] * expected, rtol=0, atol=0.012)
    assert gain.log().std() == pytest.approx(scenes.GAIN_SPREAD, rel=0.3)


def test_a_point_of_light_becomes_a_disc_of_its_light():
    dark, points = torch.zeros(1, 3, 48, 48), torch.zeros(3, 48, 48)
    points[:, 20, 24] = torch.tensor([0.1, 0.3, 0.5])
    disc = BlurParams(
        sigma_px=torch.zeros(1),
        radius_px=torch.full((1,), 6.0),
        length_px=torch.zeros(1),
        angle_rad=torch.zeros(1),
    )
    found = to_linear(scenes._blurred(dark, disc, [points]))[0]
    y, x = torch.meshgrid(torch.arange(48) - 20.0, torch.arange(48) - 24.0, indexing="ij")
    away = torch.hypot(x, y)
    inside = found[:, away < 5]
    torch.testing.assert_close(
        inside, points[:, 20, 24, None].expand_as(inside), rtol=0.1, atol=1e-3
    )
    assert found[:, away > 8].max() < 1e-4


def test_lights_differ_in_number_and_colour_and_may_saturate():
    black = torch.zeros(30, 3, 64, 64)
    found = [scenes._points(black[0], stream(seed)) for seed in range(40)]
    counts = [int(points.amax(dim=0).count_nonzero()) for points in found]
    assert min(counts) < 5
    assert max(counts) > 60
    first = torch.stack([points[:, points.amax(dim=0) > 0][:, 0] for points in found])
    assert (first.amin(dim=1) < 0.7 * first.amax(dim=1)).sum() > 10
    assert (scenes.with_lights(black, 1.0, stream()).amax(dim=(1, 2, 3)) == 1).sum() > 3


def test_files_are_changed_alike_for_the_rainy_picture_and_its_truth():
    image = photographs(30, 32)
    for change in (scenes.resampled, scenes.stored):
        one, other = change((image, image), 0.7, stream())
        assert torch.equal(one, other)
        assert one.shape == image.shape
        changed = (one != image).flatten(1).any(dim=1)
        assert 10 < int(changed.sum()) < 30
        assert torch.equal(change((image, image), 0.0, stream())[0], image)


def test_some_files_are_enlarged_by_repeating_their_pixels():
    image = photographs(1, 48)
    repeated = 0
    for seed in range(60):
        one, _ = scenes.stored((image, image), 1.0, stream(seed))
        rows = (one[:, :, 1:] == one[:, :, :-1]).all(dim=(0, 1, 3))
        columns = (one[..., 1:] == one[..., :-1]).all(dim=(0, 1, 2))
        assert rows.any() == columns.any()
        repeated += int(rows.any())
        assert int(rows.sum()) <= 48 * (1 - scenes.STORED_SIZE[0]) + 1
    assert 2 <= repeated <= 20


def test_resampled_pictures_are_sharper_or_softer_than_they_were():
    image = photographs(60, 24)
    ratio = sharpness(scenes.resampled((image,), 1.0, stream())[0]) / sharpness(image)
    assert int((ratio > 1.05).sum()) > 10
    assert int((ratio < 0.95).sum()) > 20


def test_low_bit_rates_flatten_what_is_faint_and_keep_what_is_bright():
    image = 0.3 + 0.01 * photographs(4, 64)
    rainy = image.clone()
    rainy[..., 30, 24:36] += 0.6
    for limit in (0.02, 0.1):
        flat = scenes._flattened(rainy, torch.full((4, 1, 1, 1), limit), (3, 5))
        light, before = flat.mean(dim=1), rainy.mean(dim=1)
        assert flat.shape == rainy.shape
        values = (4096 * light[:, 40:, 40:]).round().unique()  # one for a block of 16
        assert len(values) <= 4 * 9
        torch.testing.assert_close(light.mean((1, 2)), before.mean((1, 2)), rtol=0, atol=2e-3)
        assert (light[:, 30, 28:35] > 0.5).all()  # in the block that holds most of it


def test_a_block_of_any_form_that_is_flat_becomes_its_mean():
    """Upright blocks of 8 x 16, as coders have them, beside a bright neighbour."""
    image = 0.3 + 0.01 * photographs(1, 32)
    image[..., 8:] += 0.5
    flat = scenes._flattened(image, torch.full((1, 1, 1, 1), 0.05), (0, 0))
    light = flat.mean(dim=1)[:, :16, :8]
    torch.testing.assert_close(light, light.mean(dim=(1, 2), keepdim=True).expand_as(light))


def test_what_changed_is_coded_and_the_ground_is_kept():
    """Naive: the difference about grey through Pillow's JPEG, picture by picture."""
    ground = 0.3 + 0.2 * photographs(3, 32)
    rainy = ground.clone()
    rainy[..., 10:20, 8:12] += 76 / 255  # half of which 8 bits hold
    found, kept = scenes.residual((rainy, ground), stream(4))
    assert torch.equal(kept, ground)
    qualities = sample_params(scenes.CHANGES, ground, stream(4)).quality
    for index, quality in enumerate(qualities.int().tolist()):
        grey = 128 + (rainy - ground)[index].permute(1, 2, 0) * 255 / 2
        file = io.BytesIO()
        Image.fromarray(grey.round().byte().numpy()).save(file, "JPEG", quality=quality)
        coded = torch.from_numpy(np.array(Image.open(file))).float().permute(2, 0, 1)
        expected = ground[index] + 2 * (coded - 128) / 255
        torch.testing.assert_close(found[index], expected, rtol=0, atol=2.1 / 255)


def test_where_nothing_changed_a_coded_difference_is_none():
    ground = photographs(2, 32)
    found, _ = scenes.residual((ground, ground), stream())
    torch.testing.assert_close(found, ground, rtol=0, atol=1e-6)


# A fixed camera


def places(count=4, size=16, light=0.3):
    """Frames with a bright column, their backgrounds, and a mask without the lower half."""
    background = 0.5 * photographs(count, size)
    frame = background.clone()
    frame[..., 5] += light
    known = torch.ones_like(frame)
    known[:, :, size // 2 :] = 0
    return torch.stack([frame, background, known], dim=1)


def objective(rendered=0.0, **own):
    torch.manual_seed(0)
    restorer = unet.build(width=4, blocks=(1, 1))  # gives its input back before training
    settings = {"rendered": rendered, "gain": (1.0, 1.0), "jpeg": 0.0}
    return FixedCamera(restorer, Rain(rain_free=0.0), **(settings | own))


def test_moved_layers_are_the_light_that_is_known_and_no_noise():
    views = places()
    frame, background, known = views.unbind(1)
    frame = frame + FAINTEST / 2
    layer = moved_layer(frame, background, known)
    assert (layer[..., 8:, :] == 0).all()
    assert (layer[..., :8, 5] > 0.29).all()
    assert (layer[..., :8, :5] == 0).all()


def test_only_what_is_known_counts():
    views = places()
    terms = objective()(Batch(photographs(4, 16), None, places=views), stream())
    spoilt = views.clone()
    spoilt[:, 1, :, 8:] = 0  # the background where it is not known
    again = objective()(Batch(photographs(4, 16), None, places=spoilt), stream())
    torch.testing.assert_close(again["known"], terms["known"])
    assert terms["known"] > 0


def test_clean_frames_and_photographs_cost_nothing():
    views = places(light=0.0)
    terms = objective()(Batch(photographs(4, 16), None, places=views), stream())
    assert float(terms["known"].detach()) == pytest.approx(0, abs=1e-6)
    # 8 bits: the photographs are rounded with their rain, of which there is none.
    assert float(terms["moved"]) < 0.05


def test_photographs_get_layers_of_the_clip_or_rendered_rain():
    clean = photographs(2, 16)
    layers = moved_layer(*places().unbind(1))
    rainy, truth = objective().moved(clean, layers, stream())
    assert torch.equal(truth, clean)
    light = (rainy - clean)[:, :, :8]
    assert light.max() > 0.25
    rendered, _ = objective(rendered=1.0).moved(clean, torch.zeros_like(layers), stream())
    assert (rendered - clean).max() > 0.02
