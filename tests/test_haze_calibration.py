"""Haze in numbers, what is drawn like it, and what learns from both."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from calls import ssl_restore
from moving import scene
from torch.nn import functional as F

from degradations.haze import HazeParams, add_haze
from degradations.haze_like import QUANTILES, HazeLike, MeasuredHaze, as_thick
from degradations.rain import Rain
from degradations.veil import VeilParams, add_veil
from ssl_restore import rng
from ssl_restore.calibration.haze import HazeCalibration, PictureHaze
from ssl_restore.errors import UserError
from ssl_restore.evaluation.haze_left import haze_and_edges_left
from ssl_restore.io import images
from ssl_restore.networks import dehazer
from ssl_restore.objectives import synthetic_haze
from ssl_restore.objectives.haze_transfer import HazeTransfer, roughness
from ssl_restore.objectives.synthetic_haze import (
    NEAR_AIRLIGHT,
    Shares,
    SyntheticHaze,
    as_display_mixes,
    hazed,
)
from ssl_restore.types import Batch

ROW = PictureHaze(
    file="a.png", red=0.8, green=0.85, blue=0.9,
    nearest=0.1, near=0.3, median=0.6, far=1.0, farthest=1.6,
)  # fmt: skip
TAUS = [ROW.nearest, ROW.near, ROW.median, ROW.far, ROW.farthest]


def hazy(tau=0.7, side=96, light=(0.8, 0.8, 0.85)):
    clean = torch.from_numpy(scene(side, side, seed=3)).permute(2, 0, 1)[None].float()
    params = VeilParams(torch.full((1, 1, 1, 1), tau), torch.tensor([light]))
    return images.to_pixels(add_veil(clean, params), np.empty((side, side, 3), np.uint8))


def test_the_file_holds_what_was_measured_and_tells_other_files_apart(tmp_path):
    calibration = HazeCalibration((ROW, replace(ROW, file="b.png", median=0.8)))
    calibration.write(tmp_path / "haze.json")
    assert HazeCalibration.read(tmp_path / "haze.json") == calibration
    assert json.loads((tmp_path / "haze.json").read_text())["kind"] == "haze"
    for text, expected in (
        ("{}", "no calibration"),
        ('{"format": 1, "kind": "noise"}', "is no calibration of haze"),
        ('{"format": 7, "kind": "haze"}', "a calibration of format 7, this version reads 1"),
        ('{"format": 1, "kind": "haze", "version": "1", "pictures": []}', "damaged"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match=expected):
            HazeCalibration.read(tmp_path / "bad.json")


def test_distances_take_the_quantiles_of_the_row_in_their_order():
    depth = torch.rand(1, 60, 80, generator=torch.Generator().manual_seed(0)) * 7 + 1
    tau = as_thick(depth, ROW)
    found = torch.quantile(tau, torch.tensor(list(QUANTILES.values())))
    torch.testing.assert_close(found, torch.tensor(TAUS), atol=0.03, rtol=0)
    order = depth.flatten().argsort()
    assert (tau.flatten()[order].diff() >= 0).all()
    assert as_thick(torch.ones(1, 4, 4), ROW).isfinite().all()


def test_haze_like_a_row_has_its_colour_and_thickness():
    params = HazeLike((ROW,)).sample((16, 3, 40, 40), torch.Generator().manual_seed(0))
    torch.testing.assert_close(params.airlight, torch.tensor([[0.8, 0.85, 0.9]]).expand(16, 3))
    medians = params.optical_depth.flatten(1).median(dim=1)[0]
    assert (medians > 0.79 * ROW.median).all()
    assert (medians < 1.21 * ROW.median).all()
    with pytest.raises(ValueError, match="rows is empty"):
        HazeLike(()).sample((1, 3, 8, 8), torch.Generator().manual_seed(0))


def test_haze_left_is_one_for_the_same_picture_and_falls_with_the_haze():
    given, clear = hazy(1.2), hazy(0.0)
    assert haze_and_edges_left(given, given) == {"haze_left": 1.0, "edges": 1.0}
    scores = haze_and_edges_left(given, clear)
    assert scores["haze_left"] < 0.7
    assert scores["edges"] > 1.5
    black = np.zeros((32, 32, 3), np.uint8)
    assert np.isnan(list(haze_and_edges_left(black, black).values())).all()


def test_photographs_get_the_haze_that_is_known():
    photographs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    light = torch.tensor([0.7, 0.8, 0.9])
    even = MeasuredHaze(0.7, 0.8, 0.9, nearest=0.5, near=0.5, median=0.5, far=0.5, farthest=0.5)
    nothing = Shares(noise=0.0, jpeg=0.0, linear=0.0, haze_free=0.0, scenes=0.0)
    found = hazed(photographs, nothing, rng.derive(0, "haze"), [None, even])
    expected = found.target[1] * np.exp(-0.5) + light.view(3, 1, 1) * (1 - np.exp(-0.5))
    torch.testing.assert_close(found.hazy[1], expected, atol=0.5 / 255 + 1e-6, rtol=0)
    torch.testing.assert_close(found.airlight[1], light)
    assert not torch.allclose(found.transmission[0], found.transmission[1])


def test_pictures_without_haze_stay_as_they_were():
    photographs = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    shares = Shares(haze_free=1.0, noise=0.0, jpeg=0.0, scenes=0.0)
    found = hazed(photographs, shares, rng.derive(0, "haze"))
    torch.testing.assert_close(found.hazy, found.target, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.transmission, torch.ones_like(found.transmission))


def test_light_that_mixed_is_told_as_display_values_mix():
    draws = torch.Generator().manual_seed(1)
    clean, airlight = torch.rand(2, 3, 16, 16, generator=draws), torch.rand(2, 3, generator=draws)
    t = torch.rand(2, 1, 16, 16, generator=draws)
    light = airlight[:, :, None, None]
    away = (clean - light).square().sum(dim=1, keepdim=True) > NEAR_AIRLIGHT
    display = light + t * (clean - light)
    found = as_display_mixes(clean, display, airlight, t=torch.full_like(t, 7.0))
    torch.testing.assert_close(found[away], t[away])
    assert (found[~away] == 7).all()
    mixed = add_haze(clean, HazeParams(-t.log(), torch.ones(2), airlight))
    found = as_display_mixes(clean, mixed, airlight, t)

    def error(transmission):
        return ((mixed - light - transmission * (clean - light)).square()).mean()

    assert error(found) < 0.5 * error(t)


def test_a_share_of_the_pictures_are_drawn_scenes():
    photographs = torch.full((8, 3, 32, 32), 0.5)
    only = Shares(haze_free=0.0, noise=0.0, jpeg=0.0, linear=0.0, scenes=1.0)
    found = hazed(photographs, only, rng.derive(0, "haze"))
    assert (found.target.flatten(1).std(dim=1) > 0.02).all()
    none = replace(only, scenes=0.0)
    found = hazed(photographs, none, rng.derive(0, "haze"))
    assert (found.target.flatten(1).std(dim=1) < 1e-6).all()
    assert (photographs == 0.5).all()


def test_derained_pictures_lie_behind_the_veil_that_is_told(monkeypatch):
    monkeypatch.setattr(synthetic_haze, "RAIN", Rain(rain_free=1.0))
    monkeypatch.setattr(synthetic_haze, "VEILED", 1.0)
    nodes = torch.rand(6, 3, 4, 4, generator=rng.derive(0, "photographs"))
    photographs = F.interpolate(nodes, (32, 32), mode="bilinear")
    seen = []

    def derain(image):
        seen.append(image)
        return image

    found = synthetic_haze.derained(photographs, derain, rng.derive(0, "haze"))
    assert [tuple(image.shape) for image in seen] == 6 * [(1, 3, 32, 32)]
    t, light = found.transmission, found.airlight[:, :, None, None]
    assert (t.flatten(1).amin(dim=1) < 0.99).all()
    expected = t * found.target + (1 - t) * light
    error = (found.hazy - expected).flatten(1)  # noise and JPEG lie on it
    assert error.mean(dim=1).abs().max() < 0.02
    assert error.std(dim=1).max() < 0.04 < 0.2 * found.target.std()


def test_a_share_of_the_pictures_is_derained():
    batch = Batch(torch.rand(5, 3, 16, 16, generator=rng.derive(0, "photographs")), None)
    seen = []

    def derain(image):
        seen.append(image)
        return image

    for share, counts in ((0.0, {0}), (1.0, {5}), (0.5, {1, 2, 3, 4})):
        seen.clear()
        net = dehazer.build(width=2, blocks=(1, 1))
        objective = SyntheticHaze(net, Shares(derained=share), derain)
        found = objective.prepare(batch, rng.derive(1, "haze"))
        assert len(seen) in counts
        assert len(found.hazy) == len(found.airlight) == 5
        assert found.clean is batch.clean


def test_a_network_that_sees_less_than_no_haze_still_learns():
    torch.manual_seed(0)
    net = dehazer.build(width=4, blocks=(1, 1))
    with torch.no_grad():
        net.decoder.head.bias[:4] = -0.5
    batch = Batch(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)), None)
    objective = SyntheticHaze(net, Shares(haze_free=0.0))
    objective(batch, rng.derive(0, "haze"))["transmission"].backward()
    assert net.decoder.head.bias.grad[:4].abs().min() > 1e-3


def test_a_restorer_that_sees_the_haze_of_its_average_pays_nothing_for_more_of_it():
    """`rehaze` is 0 for a network that sees no haze, as its average does, and then rises."""
    torch.manual_seed(0)
    net = dehazer.build(width=4, blocks=(1, 1))
    batch = Batch(*torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(2)))
    objective = HazeTransfer(net, copy.deepcopy(net), (ROW,), 1.0, Shares())
    before = objective(batch, rng.derive(0, "haze"))["rehaze"]
    assert before < 1e-2  # rounding to 8 bits
    with torch.no_grad():
        net.decoder.head.bias[:4] = 1.0
    assert objective(batch, rng.derive(0, "haze"))["rehaze"] > before + 0.1


def test_distances_may_change_at_edges_and_pay_elsewhere():
    picture = torch.zeros(1, 3, 8, 8)
    picture[..., 4:] = 1.0
    at_edge, elsewhere = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    at_edge[..., 4:] = elsewhere[..., 2:] = 1.0
    assert roughness(at_edge, picture) < 1e-6
    assert roughness(elsewhere, picture).item() == pytest.approx(1 / 7)


@pytest.mark.parametrize("recipe", ["dehaze_unpaired", "cycle_dehaze"])
def test_folders_that_were_swapped_are_said(tmp_path, recipe):
    for folder, tau in (("hazy", 0.9), ("clear", 0.02)):
        for seed in range(2):
            path = tmp_path / folder / f"{seed}.png"
            path.parent.mkdir(exist_ok=True)
            images.write(path, images.Picture(hazy(tau)))
    small = ("--set", "width=4", "--set", "batch=2", "--set", "patch=64", "--from-scratch")
    for first, second, swapped in (("hazy", "clear", False), ("clear", "hazy", True)):
        code, stderr = ssl_restore(
            "fit", "--recipe", recipe, "--images", tmp_path / first, "--clean", tmp_path / second,
            "-o", tmp_path / f"run_{first}", *small, "--steps", 1,
        )  # fmt: skip
        assert code == 0
        assert ("were the folders swapped?" in stderr) == swapped


def test_one_small_patch_that_cannot_be_normalised_is_one_line(tmp_path):
    for folder in ("hazy", "clear"):
        (tmp_path / folder).mkdir()
        for seed in range(2):
            images.write(tmp_path / folder / f"{seed}.png", images.Picture(hazy(0.5)))
    code, stderr = ssl_restore(
        "fit", "--recipe", "dehaze_unpaired", "--images", tmp_path / "hazy", "--clean",
        tmp_path / "clear", "-o", tmp_path / "run", "--from-scratch", "--steps", "1",
        "--set", "width=4", "--set", "batch=1", "--set", "patch=32",
    )  # fmt: skip
    assert code == 2
    assert "`batch` of 2 or more, or a larger `patch`" in stderr
