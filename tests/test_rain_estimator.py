"""The estimator's parts: windows, numbers of known rain, scales, files."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny import Untouched

from degradations.populations import draw_streaks
from degradations.rain import Rain
from degradations.streaks import streak_layer
from ssl_restore import weights
from ssl_restore.calibration import rain_estimator as estimator
from ssl_restore.calibration.rain_estimator import (
    NAMES,
    RainEstimator,
    from_scale,
    numbers,
    to_scale,
)
from ssl_restore.errors import UserError


@pytest.mark.parametrize(("height", "width"), [(160, 160), (320, 480), (481, 321), (2000, 3000)])
def test_windows_lie_in_the_picture_and_reach_its_edges(height, width):
    places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    found = estimator.windows(torch.cat([places, places[:1]]).float())
    assert found.shape[1:] == (3, estimator.WINDOW_PX, estimator.WINDOW_PX)
    assert len(found) <= math.prod(estimator.MOST_WINDOWS)
    for axis, side in ((0, height), (1, width)):
        assert found[:, axis].min() == 0
        assert found[:, axis].max() == side - 1


def test_numbers_are_those_of_a_loop_over_streaks():
    size = 200
    prior = Rain(
        rain_free=0, populations=(1, 1), ripple=(0.6, 0.6), ripple_px=(9, 9), coverage=(0.1, 0.1)
    )
    generator = torch.Generator().manual_seed(0)
    populations = prior.populate(1, generator)
    params = draw_streaks(populations, (1, 3, size, size), generator)
    total = area = 0.0
    for streak in range(params.x_px.shape[1]):
        x, y = params.x_px[0, streak].item(), params.y_px[0, streak].item()
        if params.present[0, streak] and 0 < x < size and 0 < y < size:
            length, width = params.length_px[0, streak].item(), params.width_px[0, streak].item()
            total += length * width * math.log(length)
            area += length * width
    layer = streak_layer(params, size, size)
    found = dict(zip(NAMES, numbers(populations, params, layer)[0].tolist(), strict=True))
    assert found["length_px"] == pytest.approx(math.exp(total / area), rel=1e-3)
    assert found["coverage"] == pytest.approx(area / size**2, rel=1e-3)
    assert found["mean"] == pytest.approx(layer.mean().item(), rel=1e-4)
    assert found["ripple"] == pytest.approx(0.6)
    assert found["ripple_px"] == pytest.approx(9)
    assert found["rain_free"] == 0


def test_the_spread_of_widths_is_within_a_population_that_of_lengths_over_all():
    one = Rain(
        rain_free=0, populations=(2, 2), coverage=(0.3, 0.3), width_spread=(0.1, 0.1),
        length_spread=(0.1, 0.1), depth_share=(0, 0),
    ).populate(1, torch.Generator().manual_seed(0))  # fmt: skip
    populations = replace(
        one, length_px=torch.tensor([[10.0, 40]]), width_px=torch.tensor([[1.0, 4]])
    )
    params = draw_streaks(populations, (1, 3, 400, 400), torch.Generator().manual_seed(1))
    layer = streak_layer(params, 400, 400)
    found = dict(zip(NAMES, numbers(populations, params, layer)[0].tolist(), strict=True))
    assert found["width_spread"] == pytest.approx(0.1)
    assert found["width_px"] == pytest.approx(2, rel=0.1)
    assert found["length_spread"] == pytest.approx(math.hypot(math.log(4) / 2, 0.1), rel=0.05)


def test_without_streaks_only_amounts_have_numbers():
    prior = Rain(rain_free=1)
    generator = torch.Generator().manual_seed(0)
    populations = prior.populate(2, generator)
    params = draw_streaks(populations, (2, 3, 64, 64), generator)
    found = numbers(populations, params, streak_layer(params, 64, 64))
    assert (found[:, NAMES.index("rain_free")] == 1).all()
    assert (found[:, NAMES.index("mean")] == 0).all()
    assert found[:, NAMES.index("length_px")].isnan().all()


def test_the_scale_is_undone():
    values = 0.1 + torch.rand(5, len(NAMES), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(from_scale(to_scale(values)), values, atol=1e-5, rtol=1e-5)


def test_the_order_of_windows_does_not_matter():
    torch.manual_seed(0)
    made = RainEstimator(7)
    seen = torch.rand(2, 5, 7)
    torch.testing.assert_close(made(seen), made(seen.flip(1)))


def test_an_estimator_comes_back_from_its_file(tmp_path):
    torch.manual_seed(0)
    made = RainEstimator(7, width=8)
    made.save(tmp_path / "a.safetensors")
    seen = torch.rand(2, 3, 7)
    torch.testing.assert_close(estimator.load(tmp_path / "a.safetensors")(seen), made(seen))


def test_an_estimator_of_other_numbers_is_refused(tmp_path, monkeypatch):
    RainEstimator(7).save(tmp_path / "a.safetensors")
    monkeypatch.setattr(estimator, "NAMES", (*NAMES, "colour"))
    with pytest.raises(UserError, match=r"a\.safetensors: an estimator of another version"):
        estimator.load(tmp_path / "a.safetensors")


def test_the_installed_estimator_fits_what_is_observed():
    made = estimator.load(weights.rain_estimator())
    rainy = torch.rand(4, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    _, seen = estimator.observe(rainy, Untouched(), pictures=2)
    assert made(seen).shape == (2, len(NAMES))
    assert (made.error > 0).sum() == len(NAMES) - 1  # every number but the logit of dry
