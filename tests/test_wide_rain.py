"""Rain of all kinds in the place of rain that could not be measured."""

from __future__ import annotations

import pytest
import torch

from degradations.rain_like import MeasuredRain
from ssl_restore import rng
from ssl_restore.calibration.rain_file import PictureRain, RainCalibration
from ssl_restore.objectives.synthetic_rain import COARSE_FROM
from ssl_restore.recipes import derain_unpaired
from ssl_restore.types import Batch

FAINT = PictureRain("a.png", 0.9, MeasuredRain(brightness=1e-4), 1.0, 0.0, 0.0, 0.0)


def built(tmp_path, measured, without, **settings):
    pictures = tuple([FAINT] * measured)
    rain_free = tuple(f"{number}.png" for number in range(without))
    RainCalibration(pictures, rain_free).write(tmp_path / "rain.json")
    return derain_unpaired.build(width=4, calibration=str(tmp_path / "rain.json"), **settings)


@pytest.mark.parametrize(
    ("measured", "without", "wide", "expected"),
    [(4, 0, 1.0, 0.0), (3, 1, 1.0, 0.25), (1, 3, 0.5, 0.375), (1, 3, 0.0, 0.0), (1, 3, 9.0, 1.0)],
)
def test_the_share_is_that_of_the_pictures_without_a_measurement(
    tmp_path, measured, without, wide, expected
):
    recipe = built(tmp_path, measured, without, wide=wide)
    assert recipe.players[0].objective.wide_share == pytest.approx(expected)
    assert recipe.coarse_from == (COARSE_FROM if expected else None)
    assert (recipe.warm_rate < 1) == (expected > 0)


def test_without_any_measurement_all_rain_is_of_all_kinds():
    assert derain_unpaired.build(width=4).players[0].objective.wide_share == 1


@pytest.mark.parametrize("without", [0, 1, 3])
def test_so_many_of_a_batch_get_it(tmp_path, without):
    objective = built(tmp_path, 1, without, rain_free=0.0).players[0].objective
    clean = torch.full((8, 3, 64, 64), 0.5)
    rendered = objective.prepare(Batch(clean, clean), rng.derive(0, "rain"))
    assert rendered.rainy.shape == rendered.veiled.shape == clean.shape
    assert rendered.transmission.shape[0] == 8
    untouched = (rendered.rainy - 0.5).abs().flatten(1).amax(dim=1) < 2 / 255
    wide = round(8 * without / (1 + without))
    assert untouched[: 8 - wide].all()
    assert not wide or not untouched[8 - wide :].all()
