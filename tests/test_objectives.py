"""Losses against their slow definitions, and what their minima are."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from tiny import Untouched
from torch import nn

from degradations.rain import Rain
from degradations.sensor import Sensor
from ssl_restore import rng
from ssl_restore.objectives import positives
from ssl_restore.objectives.distance import charbonnier, relative
from ssl_restore.objectives.opening import opening
from ssl_restore.objectives.positives import positive
from ssl_restore.objectives.rain_transfer import RainTransfer, rain_layer
from ssl_restore.objectives.rrcl import LiteralReconstruction, RepairedReconstruction
from ssl_restore.objectives.synthetic_rain import Shares, SyntheticRain
from ssl_restore.types import Batch


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


# Distances


def test_charbonnier_has_its_hand_values():
    error = torch.tensor([0.0, 0.03, -0.04]).double()[:, None, None, None].expand(3, 3, 2, 2)
    expected = [0.0, math.hypot(0.03, 0.01) - 0.01, math.hypot(0.04, 0.01) - 0.01]
    assert charbonnier(error).tolist() == pytest.approx(expected)
    assert charbonnier(error, eps=0.03)[2].item() == pytest.approx(0.02)


def test_charbonnier_is_the_square_below_and_the_amount_above_its_scale():
    small, large = (torch.full((1, 1, 1, 1), value).double() for value in (1e-5, 1e3))
    assert charbonnier(small).item() == pytest.approx(1e-10 / 0.02, rel=1e-4)
    assert charbonnier(large).item() == pytest.approx(1e3, rel=1e-4)


def test_charbonnier_averages_each_image_on_its_own():
    error = normal(3, 3, 4, 5)
    alone = torch.cat([charbonnier(error[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(charbonnier(error), alone)


def test_relative_has_its_hand_values():
    distances = torch.tensor([0.0, 0.01, 0.03]).double()
    expected = (0 + math.log(2) + math.log(4)) / 3
    assert relative(distances, floor=0.01).item() == pytest.approx(expected)
    assert relative(distances).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 3)
    assert relative(torch.zeros(2)).item() == 0


def test_light_and_heavy_rain_pull_alike_for_the_share_they_lose():
    """Where the error is far above the floor, halving it gains log 2, whatever it was."""
    for scale in (10.0, 1000.0):
        gain = relative(torch.tensor([scale])) - relative(torch.tensor([scale / 2]))
        assert gain.item() == pytest.approx(math.log(2), abs=0.01)


def test_distances_pass_gradcheck():
    error = normal(2, 3, 3, 2).mul(0.05).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: relative(charbonnier(e)), (error,))
    zero = torch.zeros(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    relative(charbonnier(zero)).backward()
    assert zero.grad.abs().max() == 0


def test_restorer_that_finds_no_rain_is_taught_by_physics_rain():
    """Empty layers would teach it that there is nothing to remove: the identity, for good."""
    identity = Untouched()
    batch = Batch(clean=torch.full((8, 3, 32, 32), 0.3), degraded=torch.full((8, 3, 32, 32), 0.5))

    def loss(share):
        rain = Rain(rain_free=0.0, coverage=(0.5, 0.5), brightness=(0.3, 0.3))
        objective = RainTransfer(
            identity, identity, rain, share=share, gain=(1.0, 1.0), threshold=0.01, coarse=0.0
        )
        return objective(batch, torch.Generator().manual_seed(0))["restore"].item()

    assert loss(0.0) > 0.1
    assert loss(0.75) == pytest.approx(loss(0.0))


@pytest.mark.parametrize(
    ("progress", "warm", "taught"), [(0.0, False, True), (0.5, False, False), (0.0, True, False)]
)
def test_only_an_untrained_average_is_helped_by_the_opening(progress, warm, taught):
    lines = torch.zeros(4, 3, 16, 16)
    lines[:, :, :, ::8] = 0.4  # one pixel wide: the opening finds all of it
    clean = torch.full((4, 3, 16, 16), 0.3)
    batch = Batch(clean=clean, degraded=lines, progress=progress, warm=warm)
    identity = Untouched()
    no_rain = Rain(rain_free=1.0)
    objective = RainTransfer(
        identity, identity, no_rain, share=0.75, gain=(1.0, 1.0), threshold=0.01, coarse=1.0
    )
    loss = objective(batch, torch.Generator().manual_seed(0))["restore"].item()
    expected = 0.75 * math.log1p((math.hypot(0.4, 0.01) - 0.01) / 8 / 0.03) if taught else 0.0
    assert loss == pytest.approx(expected, abs=0.01)


# Rendered rain


def test_rain_that_whitens_a_whole_picture_can_be_behind_a_veil():
    storm = Rain(rain_free=0.0, brightness=(9.0, 9.0), ceiling=(9.0, 9.0), coverage=(9.0, 9.0))
    objective = SyntheticRain(Untouched(), storm, Sensor(), Shares(veil=1.0))
    rendered = objective.render(torch.full((4, 3, 32, 32), 0.5), stream())
    rainy, veiled, t = rendered.rainy, rendered.veiled, rendered.transmission
    assert rainy.mean() > 0.95
    assert veiled.mean() < 0.9
    assert (t == 1).all()


# Opening


@pytest.mark.parametrize("length", [1, 3, 5, 7])
def test_opening_is_that_of_opencv_up_to_the_border(length):
    image = normal(2, 3, 9, 13).float()
    kernel = np.ones((1, length), np.uint8)
    opened = opening(image, length)
    for index in np.ndindex(2, 3):
        expected = cv2.morphologyEx(image[index].numpy(), cv2.MORPH_OPEN, kernel)
        assert np.array_equal(opened[index].numpy(), expected)


def test_opening_is_idempotent_never_above_and_keeps_order():
    image = normal(1, 3, 12, 15)
    opened = opening(image)
    assert torch.equal(opening(opened), opened)
    assert (opened <= image).all()
    assert (opened < image).any()
    assert (opening(image + image.abs()) >= opened).all()


def test_opening_removes_narrow_bright_lines_and_nothing_wide_or_dark():
    image = torch.full((1, 1, 8, 20), 0.4)
    line, wide, dark = image.clone(), image.clone(), image.clone()
    line[..., 8:12] = 0.9
    wide[..., 8:13] = 0.9
    dark[..., 8:13] = 0.1
    assert torch.equal(opening(line), image)
    assert torch.equal(opening(wide), wide)
    assert torch.equal(opening(dark), dark)


def test_line_of_an_even_length_is_refused():
    with pytest.raises(ValueError, match="odd length, got 4"):
        opening(torch.zeros(1, 1, 4, 4), 4)


# Positives


def smooth(batch=2, side=32, kind=torch.float32):
    line = torch.linspace(0, 1, side, dtype=kind)
    y, x = torch.meshgrid(line, line, indexing="ij")
    base = torch.stack([0.3 + 0.3 * x, 0.7 - 0.2 * y, 0.5 + 0.1 * x * y])
    return base.expand(batch, 3, side, side).clone()


def test_positive_is_deterministic_and_differs_from_image_to_image():
    image = smooth(3)
    one = positive(image, stream(1))
    assert torch.equal(one, positive(image, stream(1)))
    assert not torch.equal(one, positive(image, stream(2)))
    assert not torch.equal(one[0], one[1])
    assert torch.equal(image, smooth(3))


def test_positive_stays_close_to_its_image():
    image = smooth(64)
    changed = positive(image, stream())
    assert changed.shape == image.shape
    ratio = changed.mean(dim=(2, 3)) / image.mean(dim=(2, 3))
    assert ratio.min() > 0.65
    assert ratio.max() < 1.35
    assert 0.01 < (changed - image).abs().mean() < 0.12
    flat = lambda x: (x - x.mean(dim=(2, 3), keepdim=True)).flatten(1)  # noqa: E731
    alike = nn.functional.cosine_similarity(flat(changed), flat(image))
    assert alike.mean() > 0.9


def limits(size, gain, contrast, sigma, room=0.0):
    """Draws in the order of the function: size, room, gain, contrast, sigma."""
    order = iter((size, room, gain, contrast, sigma))
    return lambda _, shape, generator: torch.full(shape, float(next(order)))


def test_positive_without_change_is_the_image(monkeypatch):
    monkeypatch.setattr(positives, "uniform", limits(1, 1, 1, 0.1))
    image = torch.rand(2, 3, 16, 24, generator=stream())
    torch.testing.assert_close(positive(image, stream()), image, atol=1e-5, rtol=0)


def test_gain_contrast_blur_and_crop_do_what_they_say(monkeypatch):
    image = torch.rand(1, 3, 24, 24, generator=stream())

    def drawn(*draws, **keywords):
        monkeypatch.setattr(positives, "uniform", limits(*draws, **keywords))
        return positive(image, stream())

    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(drawn(1, 0.8, 1, 0.1), 0.8 * image, **close)
    mean = image.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(drawn(1, 1, 1.2, 0.1), mean + 1.2 * (image - mean), **close)
    blurred = drawn(1, 1, 1, 1.0)[0].permute(1, 2, 0).numpy()
    expected = cv2.GaussianBlur(
        image[0].permute(1, 2, 0).numpy(), (7, 7), 1.0, borderType=cv2.BORDER_REFLECT_101
    )
    assert np.abs(blurred - expected).max() < 1e-5
    ramp = torch.linspace(-1 + 1 / 24, 1 - 1 / 24, 24).expand(1, 3, 24, 24)
    image = ramp.contiguous()
    torch.testing.assert_close(drawn(0.5, 1, 1, 0.1), 0.5 * ramp, **close)
    torch.testing.assert_close(drawn(0.5, 1, 1, 0.1, room=0.5), 0.5 * ramp + 0.25, **close)


def test_positive_passes_gradcheck():
    image = torch.rand(1, 3, 6, 6, generator=stream(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: positive(x, stream(3)), (image,))


# What a restorer removes


class Darker(nn.Module):
    """Removes 0.2 on the left half, adds 0.1 on the right, and a trifle on the first row."""

    def forward(self, image):
        change = torch.full_like(image, 0.1)
        change[..., : image.shape[-1] // 2] = -0.2
        change[..., 0, :] = -0.005
        return image + change


def test_rain_layer_is_what_is_removed_and_never_negative():
    restorer = Darker().eval()
    image = torch.rand(2, 3, 8, 8, generator=stream()).requires_grad_()
    layer = rain_layer(restorer, image, threshold=0.01)
    assert layer.shape == (2, 1, 8, 8)
    torch.testing.assert_close(layer[..., 1:, :4], torch.full((2, 1, 7, 4), 0.2))
    assert layer[..., 4:].abs().max() == 0
    assert layer[..., 0, :].abs().max() == 0
    assert not layer.requires_grad


# RRCL: the literal reconstruction wants the identity, the repaired one wants the rain gone


class Removes(Untouched):
    """f_a(I) = I - a R_true(I).

    The scenes here change from row to row only and rain covers less than half of each row, so
    that the median of a row is its background, exactly, and R_true is known of any picture.
    """

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, image):
        rows = image.median(dim=3, keepdim=True).values
        return image - self.share * (image - rows)


LIGHT = Rain(
    angle_rad=(-0.1, 0.1), length_px=(8.0, 16.0), width_px=(1.0, 1.5), brightness=(0.2, 0.4),
    coverage=(0.05, 0.08), populations=(1, 1), rain_free=0.0, ceiling=(10.0, 10.0),
)  # fmt: skip


def rainy_scenes(count=6, side=48):
    """Batch of smooth scenes, clean ones of other scenes, and the true rain of the first."""
    rows = torch.linspace(0, 1, side)[:, None].expand(side, side)
    slopes = torch.linspace(-0.3, 0.3, 2 * count)[:, None, None, None]
    levels = torch.tensor([0.4, 0.45, 0.5])[None, :, None, None]
    scenes = levels + slopes * rows
    params = LIGHT.sample((count, 3, side, side), stream(4))
    degraded = LIGHT.apply(scenes[::2], params)
    return Batch(clean=scenes[1::2], degraded=degraded), degraded - scenes[::2]


SHARES = [share / 10 for share in range(11)]


def curve(objective):
    """Loss at each share of the true rain that is removed, averaged over four draws."""
    batch, _ = rainy_scenes()
    totals = []
    for share in SHARES:
        draws = [objective(share)(batch, rng.derive(0, "objective", n)) for n in range(4)]
        totals.append(sum(draw["reconstruction"].item() for draw in draws) / len(draws))
    return totals


def test_the_family_of_restorers_removes_the_true_rain():
    batch, rain = rainy_scenes()
    assert rain.max() > 0.15
    assert (rain > 0.01).float().mean() < 0.3  # sparse
    for share in (0.0, 0.5, 1.0):
        removed = batch.degraded - Removes(share)(batch.degraded)
        torch.testing.assert_close(removed, share * rain, atol=1e-5, rtol=0)


def test_literal_reconstruction_is_minimal_at_the_identity():
    losses = curve(lambda share: LiteralReconstruction(Removes(share), LIGHT))
    assert losses == sorted(losses)  # removing rain raises it, at every step
    assert losses[-1] > 1.2 * losses[0]


@pytest.mark.parametrize("seen", [0.5, 0.8, 1.0])
def test_repaired_reconstruction_is_minimal_near_the_true_rain(seen):
    """`seen`: the share of the rain that the average removes so far."""
    losses = curve(lambda share: RepairedReconstruction(Removes(share), Removes(seen), 0.5))
    best = SHARES[losses.index(min(losses))]
    assert best >= 0.7
    assert losses[0] > 1.2 * min(losses)


def test_repaired_reconstruction_leads_away_from_the_identity():
    """Where restorer and average are one, as in a long training, there is no rest at zero."""

    def slope(at):
        ahead, here = (
            curve_at(RepairedReconstruction(Removes(share), Removes(at), 0.5))
            for share in (at + 0.05, at)
        )
        return ahead - here

    def curve_at(objective):
        batch, _ = rainy_scenes()
        return objective(batch, rng.derive(0, "objective"))["reconstruction"].item()

    assert slope(0.2) < 0
    assert slope(0.5) < 0
