"""Blur as cameras leave it: which cause an image has, and choices that run what is chosen only."""

from __future__ import annotations

import pytest
import torch

from degradations import Choice, Jpeg, Noise, Sensor, Shake, camera_blur, degrade

BARE = {"noise": Noise(gain=(0, 0), sigma=(0, 0)), "jpeg": Jpeg(quality=(100, 100))}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(batch=1):
    return torch.rand(batch, 3, 24, 32, generator=stream(batch))


def test_a_file_has_values_of_8_bits_and_less_detail():
    image = picture(6)
    blurred = degrade(image, camera_blur(), stream(1))
    torch.testing.assert_close(255 * blurred, (255 * blurred).round(), atol=1e-3, rtol=0)
    assert (blurred.diff(dim=3).abs().mean() / image.diff(dim=3).abs().mean()) < 0.8


@pytest.mark.parametrize("cause", ["shaken", "defocused", "layered"])
def test_a_cause_of_all_weight_is_that_of_every_image(cause):
    weights = dict.fromkeys(("shaken", "defocused", "layered"), 0.0) | {cause: 2.0}
    params = camera_blur(**weights).sample((8, 3, 24, 32), stream(2)).steps[0]
    layered = params.second_one
    defocused = params.first.second_one & ~layered
    counts = {"layered": layered, "defocused": defocused, "shaken": ~layered & ~defocused}
    assert {name: int(t.sum()) for name, t in counts.items()} == dict.fromkeys(counts, 0) | {
        cause: 8
    }


def test_causes_come_as_often_as_their_weights():
    params = (
        camera_blur(shaken=1, defocused=2, layered=1).sample((800, 3, 4, 4), stream(3)).steps[0]
    )
    layered = params.second_one
    assert layered.double().mean().item() == pytest.approx(0.25, abs=0.05)
    defocused = params.first.second_one & ~layered
    assert defocused.double().mean().item() == pytest.approx(0.5, abs=0.06)


def test_the_gradient_of_a_blurred_picture_is_that_of_the_sharp_one_spread():
    image = picture().requires_grad_()
    prior = camera_blur(**BARE)
    result = prior.apply(image, prior.sample(image.shape, stream(4)))
    (gradient,) = torch.autograd.grad(result.sum(), image)
    assert gradient.isfinite().all()
    assert gradient.sum().item() > 0


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"shaken": -0.1}, "shaken must be at least 0"),
        ({"shaken": 0, "defocused": 0, "layered": 0}, "layered must be above 0"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, said):
    with pytest.raises(ValueError, match=said):
        camera_blur(**weights)


class Counted(Sensor):
    """A sensor that notes how many images it exposes."""

    seen: list[int] = []  # noqa: RUF012

    @staticmethod
    def apply(image, params):
        Counted.seen.append(len(image))
        return Sensor.apply(image, params)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_choice_runs_each_degradation_on_its_own_images(share):
    Counted.seen.clear()
    prior = Choice(Shake(), Counted(gain=(0.5, 2.0)), share=share)
    image = picture(6)
    params = prior.sample(image.shape, stream(5))
    result = prior.apply(image, params)
    both = Shake.apply(image, params.first), Sensor.apply(image, params.second)
    chosen = params.second_one.view(-1, 1, 1, 1)
    torch.testing.assert_close(result, torch.where(chosen, both[1], both[0]))
    assert sum(Counted.seen) == int(params.second_one.sum())


def test_choices_of_another_number_of_images_are_refused():
    prior = Choice(Sensor(), Sensor())
    params = prior.sample((2, 3, 4, 4), stream())
    with pytest.raises(ValueError, match="3 images need as many choices, got 2"):
        prior.apply(picture(3), params)
