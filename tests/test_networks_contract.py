"""What every network promises.  A new file in networks/ with a `build` is tested at once."""

from __future__ import annotations

import importlib
import inspect
import typing

import numpy as np
import pytest
import torch
from learning import randomised, small_network
from torch import nn

from ssl_restore import discover
from ssl_restore.errors import UserError
from ssl_restore.inference.wrappers import with_thoroughness
from ssl_restore.networks import unet
from ssl_restore.networks.overview import sampled
from ssl_restore.networks.upscaler import enlarged

NAMES = discover.names("networks")
ALSO = {
    "blind_spot": [{"shuffle": 3, "blocks": 1}, {"shuffle": 1, "refinements": 0}],
    "memorynet": [{"memory": False}, {"blocks": (2, 1)}, {"shrinkage": 0.0}],
    "unet": [
        {"colours": True},
        {"thorough": True, "colours": True},
        {"blocks": (1, 2)},
        {"blocks": (2, 1, 1)},
        {"blocks": (1,)},
    ],
    "upscaler": [{"scale": 3}, {"scale": 4, "blocks": 1}],
}
FORMS = [
    pytest.param(name, form, id=f"{name} {form or ''}")
    for name in NAMES
    for form in [{}, *ALSO.get(name, [])]
]
each = pytest.mark.parametrize("name", NAMES)
each_form = pytest.mark.parametrize(("name", "form"), FORMS)


def picture(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def everything(net, image):
    """All that a network predicts of a picture, as one row: a derainer predicts a veil besides."""
    return torch.cat([part.flatten() for part in net.layers(image).values()])


@each_form
def test_untrained_network_returns_its_input_exactly(name, form):
    net = small_network(name, form)
    image = picture(2, 3, 4 * net.stride, 3 * net.stride)
    expected = enlarged(image, net.scale) if net.scale > 1 else image
    assert torch.equal(net(image), expected)
    assert torch.equal(net.eval()(image), expected)


@each_form
def test_picture_keeps_its_size_for_sides_that_are_multiples_of_the_stride(name, form):
    net = randomised(small_network(name, form)).eval()
    assert net.stride == int(net.stride) >= 1
    changed = []
    for rows, columns in ((1, 1), (1, 3), (4, 2), (16, 16)):
        image = picture(2, 3, rows * net.stride, columns * net.stride)
        out = net(image)
        plain = enlarged(image, net.scale) if net.scale > 1 else image
        assert out.shape == plain.shape
        assert out.dtype == torch.float32
        changed.append(not torch.equal(out, plain))
    assert any(changed)


@each_form
def test_pixel_changes_nothing_beyond_the_reach(name, form):
    """At random weights, for a pixel at each phase of the stride; measured, not derived."""
    net = randomised(small_network(name, form)).eval().double()
    margin = -(-net.reach // net.stride) * net.stride + net.stride
    side = 2 * margin + net.stride
    flat = picture(1, 3, side, side).double()
    farthest = 0
    with torch.no_grad():
        whole = net.overview_px is not None
        seen = (sampled(net.overview(flat), (side, side)),) if whole else ()
        plain = net(flat, *seen)
        for phase in range(0, net.stride, max(1, net.stride - 1)):
            row, column = margin + phase, margin + net.stride - 1 - phase
            poked = flat.clone()
            poked[..., row, column] += 1e9  # so that the farthest, faintest effect is seen
            places = (net(poked, *seen) != plain).nonzero() // net.scale
            rows, columns = places[:, 2], places[:, 3]
            distance = max((rows - row).abs().max(), (columns - column).abs().max())
            farthest = max(farthest, distance.item())
    assert farthest <= net.reach
    assert 2 * farthest >= net.reach  # not so large that tiles are mostly margin


@each_form
def test_gradients_are_finite_for_picture_and_weights(name, form):
    net = randomised(small_network(name, form)).train()
    image = picture(2, 3, 2 * net.stride, 2 * net.stride).requires_grad_()
    everything(net, image).square().mean().backward()
    assert image.grad.isfinite().all()
    assert image.grad.abs().max() > 0
    for key, weight in net.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key


@each_form
def test_black_and_white_pictures_give_finite_values(name, form):
    net = randomised(small_network(name, form)).train()
    for value in (0.0, 1.0):
        flat = torch.full((2, 3, 2 * net.stride, 2 * net.stride), value)
        assert net(flat).isfinite().all()


@each_form
def test_evaluated_picture_does_not_depend_on_its_neighbours(name, form):
    net = randomised(small_network(name, form)).eval()
    one, other = picture(2, 3, 2 * net.stride, 2 * net.stride).split(1)
    with torch.no_grad():
        alone, beside = net(one), net(torch.cat([one, 5 * other]))[:1]
    rounding = 1e-5 * max(1.0, alone.abs().max().item())  # without norms values may be large
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=rounding)


@each_form
def test_statistics_move_in_training_and_rest_in_evaluation(name, form):
    net = randomised(small_network(name, form))
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    image = picture(2, 3, 2 * net.stride, 2 * net.stride)

    def statistics():
        return [norm.running_mean.clone() for norm in norms]

    before = statistics()
    everything(net.eval(), image)
    assert all(map(torch.equal, before, statistics()))
    weights = {key: value.clone() for key, value in net.named_parameters()}
    everything(net.train(), image)
    assert len(before) == sum("running_mean" in key for key in net.state_dict())
    assert [torch.equal(*pair) for pair in zip(before, statistics(), strict=True)] == [False] * len(
        before
    )
    assert all(torch.equal(value, weights[key]) for key, value in net.named_parameters())


@each_form
def test_layers_are_those_that_the_network_names(name, form):
    net = randomised(small_network(name, form)).eval()
    image = picture(2, 3, 4 * net.stride, 3 * net.stride)
    with torch.no_grad():
        layers = net.layers(image)
        assert torch.equal(layers["clean"], net(image))
    assert tuple(layers) == net.layer_names
    for layer in layers.values():
        assert layer.shape[1] in (1, 3)
        size = (net.scale * image.shape[2], net.scale * image.shape[3])
        assert (len(layer), *layer.shape[2:]) == (2, *size)
    assert net.layers_reach >= net.reach
    assert net.core.core is net.core


@each_form
def test_a_folded_copy_gives_the_same_and_leaves_the_network_alone(name, form):
    net = randomised(small_network(name, form)).eval()
    image = picture(1, 3, 4 * net.stride, 3 * net.stride)
    with torch.no_grad():
        before = net(image)
        folded = net.folded()
        torch.testing.assert_close(folded(image), before, rtol=1e-4, atol=1e-4)
        assert torch.equal(net(image), before)
    fewer = sum(1 for _ in folded.parameters()) < sum(1 for _ in net.parameters())
    assert fewer is any(isinstance(part, nn.BatchNorm2d) for part in net.modules())


@each
def test_every_keyword_is_annotated_keyword_only_and_documented(name):
    module = importlib.import_module(f"ssl_restore.networks.{name}")
    kinds = typing.get_type_hints(module.build)
    text = (inspect.getdoc(module.build) or "") + (inspect.getdoc(module) or "")
    for keyword, parameter in inspect.signature(module.build).parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
        assert keyword in kinds
        assert f"`{keyword}" in text


def test_layers_of_the_unet_obey_the_model_of_a_rainy_picture():
    """V + S is the picture again, t that of the optical depth."""
    net = randomised(small_network("unet", {})).eval()
    image = unet.NEAR_WHITE[0] * picture(1, 3, 16, 16)
    with torch.no_grad():
        layers = net.layers(image)
    assert layers["optical_depth"].max() > 0.01
    t, rain = layers["transmission"], layers["rain"]
    torch.testing.assert_close(layers["clean"] + rain, image)
    torch.testing.assert_close(t, (-layers["optical_depth"].clamp(0, 2)).exp())
    assert torch.equal(layers["clean"], net(image))
    assert torch.equal(rain, net.rain(image))
    assert (rain <= image.amin(dim=1, keepdim=True)).all()


def test_only_a_colour_near_white_keeps_light_of_the_streaks():
    net = randomised(small_network("unet", {})).eval()
    image = 0.8 * picture(1, 3, 16, 16)
    image[:, 0] = 1.0
    with torch.no_grad():
        rain, removed = net.rain(image), image - net(image)
    torch.testing.assert_close(removed[:, 1:], rain.expand(-1, 2, -1, -1))
    kept = 1 - removed[:, :1] / rain
    assert kept.min() > 0
    assert kept.max() < 1
    assert kept.std() > 1e-3


def test_veil_does_not_teach_the_streaks():
    net = randomised(small_network("unet", {}))
    layers = net.layers(picture(1, 3, 16, 16))
    (layers["optical_depth"].square().mean() + layers["airlight"].mean()).backward(
        retain_graph=True
    )
    assert all(weight.grad is None for weight in net.decoder.parameters())
    assert all(weight.grad is not None for weight in net.veil.parameters())
    layers["clean"].square().mean().backward()
    assert all(weight.grad is not None for weight in net.decoder.parameters())


def test_thorough_is_told_image_by_image():
    net = randomised(small_network("unet", {"thorough": True})).eval()
    image = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    told = torch.tensor([0.0, 0.5, 1.0])
    with torch.no_grad():
        together = net.layers(image, thorough=told)["clean"]
        for number, value in enumerate(told.tolist()):
            alone = with_thoroughness(net, value)(image[number : number + 1])
            torch.testing.assert_close(together[number : number + 1], alone, rtol=0, atol=1e-5)
        torch.testing.assert_close(net(image[1:2]), together[1:2], rtol=0, atol=1e-5)
    assert (with_thoroughness(net, 1.0)(image) - with_thoroughness(net, 0.0)(image)).abs().max() > 0
    assert net.thorough == 0.5  # the one that was wrapped stays as it was


@pytest.mark.parametrize("value", [1, np.float32(0.25), np.float64(0.5), np.int64(0)])
def test_thorough_is_any_number(value):
    told = with_thoroughness(small_network("unet", {"thorough": True}), value)
    assert told.thorough == value


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "much", np.float32("nan"), None])
def test_thorough_outside_its_range_is_refused(value):
    with pytest.raises(UserError, match="0 to 1 is expected"):
        with_thoroughness(small_network("unet", {"thorough": True}), value)


def test_weights_that_cannot_be_told_say_so():
    with pytest.raises(UserError, match="these weights cannot be told"):
        with_thoroughness(small_network("unet", {}), 0.5)
