import pickle

import pytest
import torch

from degradations.chain import Chain, ChainParams
from degradations.haze import Haze
from degradations.noise import Noise
from degradations.rain import Rain
from degradations.sensor import Sensor
from degradations.types import map_tensors, tensors

SHAPE = (2, 3, 9, 7)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def image():
    return torch.rand(SHAPE, generator=stream(1))


def test_a_chain_applies_its_steps_in_order(image):
    haze, noise = Haze(), Noise()
    chain = Chain((haze, noise))
    params = chain.sample(SHAPE, stream())
    by_hand = noise.apply(haze.apply(image, params.steps[0]), params.steps[1])
    assert torch.equal(chain.apply(image, params), by_hand)
    backwards = Chain((noise, haze)).apply(image, ChainParams(params.steps[::-1]))
    assert not torch.allclose(by_hand, backwards)


def test_no_steps_are_the_identity(image):
    chain = Chain(())
    assert torch.equal(chain.apply(image, chain.sample(SHAPE, stream())), image)


def test_a_chain_of_one_draws_and_applies_what_its_step_does(image):
    chain, rain = Chain((Rain(),)), Rain()
    params = chain.sample(SHAPE, stream(2))
    alone = rain.sample(SHAPE, stream(2))
    assert torch.equal(chain.apply(image, params), rain.apply(image, alone))


def test_chains_nest(image):
    haze, noise, sensor = Haze(), Noise(), Sensor()
    flat = Chain((haze, noise, sensor))
    params = flat.sample(SHAPE, stream())
    nested = Chain((Chain((haze, noise)), sensor))
    drawn = nested.sample(SHAPE, stream())
    assert torch.equal(nested.apply(image, drawn), flat.apply(image, params))


def test_equal_steps_draw_different_parameters():
    first, second = Chain((Noise(), Noise())).sample(SHAPE, stream()).steps
    assert not torch.equal(first.eps, second.eps)


def test_parameters_of_a_chain_can_be_listed_and_sliced(image):
    chain = Chain((Haze(), Noise()))
    params = chain.sample(SHAPE, stream())
    names = [name for name, _ in tensors(params)]
    assert "steps.0.beta_per_m" in names
    assert "steps.1.sigma" in names
    only = map_tensors(params, lambda t: t[1:])
    torch.testing.assert_close(chain.apply(image[1:], only), chain.apply(image, params)[1:])


def test_parameters_of_another_chain_are_refused(image):
    params = Chain((Noise(),)).sample(SHAPE, stream())
    with pytest.raises(ValueError, match="2 steps got parameters of 1"):
        Chain((Haze(), Noise())).apply(image, params)


def test_chains_compare_by_their_steps_and_survive_pickling():
    chain = Chain((Haze(), Sensor(bits=4)))
    assert pickle.loads(pickle.dumps(chain)) == chain
    assert chain != Chain((Sensor(bits=4), Haze()))
