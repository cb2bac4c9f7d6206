"""Rain of any degradation with what a restorer is to find in it."""

from __future__ import annotations

import pytest
import torch
from tiny import random_restorer

from degradations import Chain, Haze, Noise, Rain, Rainfall, Sensor, Veil, Weather, add_rain
from degradations.sampling import sample_params
from ssl_restore import rng
from ssl_restore.objectives.rendered_rain import (
    ODDS,
    RenderedRain,
    behind_veil,
    layer_loss,
    render_rain,
)
from ssl_restore.objectives.synthetic_rain import Shares, SyntheticRain
from ssl_restore.training.fit import fit
from ssl_restore.types import Batch, Player, Recipe

HEAVY = Rain(rain_free=0, veil=1.0, transmission=(0.6, 0.8))
KINDS = {
    "rain": HEAVY,
    "rainfall": Rainfall(rate_mm_per_h=(80.0, 100.0)),
    "weather": Weather(),
    "chain": Chain((Haze(), HEAVY, Noise(sigma=(0.01, 0.01)))),
    "veil": Veil(),
}
each = pytest.mark.parametrize("rain", KINDS.values(), ids=KINDS)


def photographs(count=2, side=32):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def stream(name="rain"):
    return rng.derive(0, name)


def test_layers_of_rain_are_those_of_its_parameters():
    clean = photographs()
    rendered = render_rain(clean, HEAVY, stream())
    params = sample_params(HEAVY, clean, stream())
    assert torch.equal(rendered.rainy, add_rain(clean, params))
    t = params.transmission.view(-1, 1, 1, 1)
    torch.testing.assert_close(rendered.transmission, t)
    torch.testing.assert_close(rendered.veiled, t * clean + rendered.light)


@each
def test_black_becomes_the_light_and_white_the_transmission_more(rain):
    """Of what is no rain: measured by degrading black and white pictures alike."""
    if isinstance(rain, Chain):
        rain = Chain(rain.steps[:2])  # noise is no veil
    size = photographs().shape
    black, white = (render_rain(torch.full(size, v), rain, stream()) for v in (0.0, 1.0))
    light = black.light.expand(size)
    torch.testing.assert_close(black.veiled, light, atol=2e-6, rtol=1e-5)
    measured = (white.veiled - black.veiled).mean(dim=1, keepdim=True)
    t = black.transmission.expand_as(measured)
    torch.testing.assert_close(measured.clamp(1e-3, 1), t, atol=2e-6, rtol=1e-5)


def test_a_veil_besides_is_composed_with_that_of_the_rain():
    clean = photographs(4)
    rendered = render_rain(clean, HEAVY, stream())
    chosen = torch.tensor([True, False, True, False])
    veiled = behind_veil(rendered, chosen, Veil(), stream("veil"))
    expected = veiled.transmission * clean + veiled.light
    torch.testing.assert_close(veiled.veiled, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(veiled.rainy[1], rendered.rainy[1])
    assert (veiled.transmission[0] < rendered.transmission[0]).all()


def test_the_true_layers_have_no_loss():
    rendered = render_rain(photographs(), HEAVY, stream())
    t = rendered.transmission
    true = {
        "clean": rendered.veiled,
        "optical_depth": -t.log(),
        "airlight": rendered.light / (1 - t),
    }
    terms = layer_loss(true, rendered)
    assert terms["restore"] == 0
    assert terms["veil"] == pytest.approx(0, abs=1e-6)
    worse = layer_loss({**true, "clean": rendered.rainy}, rendered)
    assert worse["restore"] > 0.01


@each
def test_any_rain_trains_a_restorer(rain):
    """Fifty steps on one batch: the loss of the layers falls."""
    restorer = random_restorer(strength=0.02).train()
    objective = SyntheticRain(restorer, rain, Sensor(), Shares(veil=0.5, jpeg=0.5))
    clean = photographs(4)

    def draw(step, progress):
        return Batch(clean, None, progress)

    def loss():
        with torch.no_grad():
            return float(sum(objective(Batch(clean, None), stream("held")).values()))

    before = loss()
    optimizer = torch.optim.AdamW(restorer.parameters(), lr=3e-3)
    recipe = Recipe(
        task="derain", network="unet", keywords={}, restorer=restorer,
        players=(Player(objective, {"restore": 1.0, "veil": 0.3}, optimizer),),
    )  # fmt: skip
    for _ in fit(recipe, draw, seed=0, steps=50):
        pass
    assert loss() < 0.9 * before


def test_stored_pictures_have_8_bits():
    stored = render_rain(photographs(), HEAVY, stream()).stored()
    for picture in (stored.rainy, stored.veiled):
        torch.testing.assert_close((255 * picture).round() / 255, picture)


def test_a_prepared_batch_gives_the_terms_that_one_rendered_at_once_gives():
    objective = SyntheticRain(random_restorer(), HEAVY, Sensor(), Shares(veil=0.5))
    batch = Batch(photographs(4), None, 0.3)
    prepared = objective.prepare(batch, stream())
    assert isinstance(prepared, RenderedRain)
    assert prepared.progress == 0.3
    with torch.no_grad():
        at_once, later = objective(batch, stream()), objective(prepared, stream("other"))
    assert all(torch.equal(later[name], term) for name, term in at_once.items())
    halves = prepared.split(2)
    assert [len(half.transmission) for half in halves] == [2, 2]


def test_a_thorough_restorer_pays_for_rain_left_and_a_careful_one_for_background_taken():
    rendered = RenderedRain(
        clean=None, degraded=None, rainy=torch.ones(1, 3, 4, 4),
        veiled=torch.full((1, 3, 4, 4), 0.5), transmission=torch.ones(1, 1, 1, 1),
        light=torch.zeros(1, 3, 1, 1),
    )  # fmt: skip

    def cost(error, thorough):
        layers = {
            "clean": rendered.veiled + error, "optical_depth": torch.zeros(1, 1, 1, 1),
            "airlight": torch.zeros(1, 3, 1, 1),
        }  # fmt: skip
        told = None if thorough is None else torch.tensor([thorough])
        return float(layer_loss(layers, rendered, told)["restore"].expm1())

    left, taken = (cost(error, 1.0) for error in (0.2, -0.2))
    assert left / taken == pytest.approx(ODDS, rel=1e-4)
    left, taken = (cost(error, 0.0) for error in (0.2, -0.2))
    assert taken / left == pytest.approx(ODDS, rel=1e-4)
    assert cost(0.2, 0.5) == pytest.approx(cost(0.2, None), rel=1e-5)
