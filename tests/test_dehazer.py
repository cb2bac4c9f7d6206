"""The dehazer: its guided filter against the definition, its looks, its layers against physics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from degradations.veil import VeilParams, add_veil
from ssl_restore.inference.tiles import restore, restore_tensor
from ssl_restore.inference.wrappers import Layer, SelfEnsemble, Strength
from ssl_restore.networks import dehazer, guided, pyramid
from ssl_restore.networks.overview import sampled, shrunk, small_size

NETWORKS = [dehazer, pyramid]


def random(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def past_start(network, scale=0.3):
    torch.manual_seed(0)
    net = network.build(width=4, blocks=(1, 1)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(scale * torch.randn_like(weight))
    return net


def test_coefficients_of_the_guided_filter_are_those_of_the_definition():
    guide, values = random(1, 3, 9, 8, dtype=torch.float64), random(1, 1, 9, 8, seed=1).double()
    radius, eps = 2, 1e-3
    a, b = guided.linear_in_colour(guide, values, radius, eps)

    def window(x, row, column):
        rows = slice(max(0, row - radius), row + radius + 1)
        part = x[0, :, rows, max(0, column - radius) : column + radius + 1]
        return part.flatten(1).numpy()

    single = np.empty((4, 9, 8))
    for row in range(9):
        for column in range(8):
            g, v = window(guide, row, column), window(values, row, column)
            covariance = np.cov(g, bias=True) + eps * np.eye(3)
            with_values = ((g - g.mean(axis=1, keepdims=True)) * (v - v.mean())).mean(axis=1)
            slope = np.linalg.solve(covariance, with_values)
            single[:, row, column] = [*slope, v.mean() - slope @ g.mean(axis=1)]
    coefficients = torch.from_numpy(single)[None]
    for row, column in ((4, 4), (0, 0), (8, 3)):
        expected = window(coefficients, row, column).mean(axis=1)
        found = torch.cat([a, b], dim=1)[0, :, row, column].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_map_that_is_linear_in_the_colours_is_found_exactly():
    guide = random(2, 3, 20, 24, dtype=torch.float64)
    values = (guide * torch.tensor([0.3, -0.5, 0.9]).view(1, 3, 1, 1)).sum(1, keepdim=True) + 0.2
    a, b = guided.linear_in_colour(guide, values, 3, 1e-10)
    torch.testing.assert_close((a * guide).sum(1, keepdim=True) + b, values, atol=1e-6, rtol=0)


def test_layers_are_those_of_the_haze_that_was_put_on():
    """Maps that know the haze give back the picture: Koschmieder's law and its inverse."""
    clean = 0.3 + 0.02 * random(1, 3, 8, 10)
    tau = torch.linspace(0, 1.2, 10).expand(1, 1, 8, 10)
    light = torch.tensor([[0.8, 0.85, 0.9]])
    hazy = add_veil(clean, VeilParams(tau, light))
    maps = torch.cat([torch.zeros(1, 3, 8, 10), tau, light.view(1, 3, 1, 1).expand(1, 3, 8, 10)], 1)
    layers = past_start(dehazer).layers(hazy, maps)
    torch.testing.assert_close(layers["clean"], clean, atol=1e-5, rtol=0)
    torch.testing.assert_close(layers["transmission"], (-tau).exp())


def test_less_than_no_haze_is_none_and_more_than_is_seen_is_the_most():
    image = 0.9 + 0.1 * random(1, 3, 4, 4)
    light = torch.full((1, 3, 4, 4), 0.4)
    net = past_start(dehazer)
    for tau, seen in ((-1.0, 0.0), (9.0, dehazer.DEPTHS[1])):
        maps = torch.cat([torch.zeros(1, 3, 4, 4), torch.full((1, 1, 4, 4), tau), light], 1)
        expected = image + np.expm1(seen) * (image - light)
        torch.testing.assert_close(net(image, maps), expected, rtol=1e-5, atol=1e-5)


def test_a_sky_of_the_colour_of_the_air_is_left_and_what_is_far_from_it_is_not():
    t, light = 0.1, torch.full((1, 3, 1, 1), 0.8)
    depth = torch.full((1, 1, 1, 4), -np.log(t))
    away = torch.tensor([0.0, 0.02, 0.1, 0.4])
    image = light - away.expand(1, 3, 1, 4)
    left = dehazer.removable(image, depth, light)[0, 0, 0]
    t = np.maximum(t, away.numpy() / 0.8 * dehazer.AIR_IN_DARKEST + 1 - dehazer.AIR_IN_DARKEST)
    raised = np.maximum(1, dehazer.TOLERANCE * (1 - t) ** 2 / away.clamp_min(1e-3).numpy())
    np.testing.assert_allclose((-left).exp(), np.minimum(1, t * raised), rtol=1e-5)
    assert left[0] == 0
    torch.testing.assert_close(left[3], torch.tensor(-np.log(0.55), dtype=torch.float32))


def test_no_surface_comes_out_black_for_want_of_light():
    light = torch.tensor([0.8, 0.9, 1.0]).view(1, 3, 1, 1)
    image = light * torch.linspace(0.05, 0.6, 12).view(1, 1, 1, 12)
    depth = dehazer.removable(image, torch.full((1, 1, 1, 12), 2.0), light)
    share = 1 - (-depth).exp()  # of the airlight
    restored = image + depth.expm1() * (image - light)
    torch.testing.assert_close(share, dehazer.AIR_IN_DARKEST * image[:, :1] / 0.8)
    assert (restored > 0.05 * image).all()


def test_noise_and_blocks_of_a_file_are_not_taken_for_distances():
    net, light = past_start(dehazer), 0.8
    image = torch.full((1, 3, 64, 64), 0.7)
    image[..., 32:] = 0.2  # something near
    noisy = image + 0.01 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = torch.cat([3.0 * torch.ones(1, 3, 64, 64), -4.8 * torch.ones(1, 1, 64, 64)], 1)
    maps = torch.cat([maps, torch.full((1, 3, 64, 64), light)], 1)
    t = net.layers(noisy, maps)["transmission"]
    rough = dehazer.removable(noisy, net.haze(noisy, maps)[0], torch.tensor(light))
    assert t[..., :15].std() < 0.2 * (-rough[..., :15]).exp().std()
    assert t[..., 34:].min() > t[..., :30].max() + 0.3  # its edge is where it was


@pytest.mark.parametrize("size", [(5, 7), (40, 31), (300, 200)])
def test_maps_between_the_pixels_are_bilinear_and_do_not_depend_on_the_window(size):
    maps = random(1, 2, 17, 11)
    whole = sampled(maps, size)
    expected = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=0)
    rows, columns = (size[0] // 3, size[0]), (0, 1 + size[1] // 2)
    assert torch.equal(
        sampled(maps, size, rows, columns), whole[..., slice(*rows), slice(*columns)]
    )


def test_a_look_is_at_most_so_large_and_never_larger_than_the_picture():
    assert small_size((3000, 4000), 256) == (192, 256)
    assert small_size((30, 40), 256) == (30, 40)
    assert small_size((1, 4000), 256) == (1, 256)
    small = random(1, 3, 20, 30)
    assert shrunk(small, 64) is small
    assert shrunk(random(1, 3, 128, 64), 64).shape == (1, 3, 64, 32)


@pytest.mark.parametrize("network", NETWORKS)
def test_tiles_are_exactly_the_whole_picture(network):
    net = past_start(network)
    pixels = (random(300, 400, 3).numpy() * 65535).astype(np.uint16)
    whole, tiles = (restore(net, pixels, tile=tile, precision="fp32") for tile in (0, 64))
    assert not np.array_equal(whole, pixels)
    assert np.array_equal(whole, tiles)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_restorer_in_memory_does_as_one_on_files(network):
    net = past_start(network)
    pixels = (random(120, 90, 3).numpy() * 255).astype(np.uint8)
    image = torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None]
    found = restore_tensor(net, image, precision="fp32").clamp(0, 1)
    as_pixels = (255 * found[0].permute(1, 2, 0)).round().numpy()
    assert np.abs(as_pixels - restore(net, pixels, precision="fp32")).max() <= 1


def test_wrappers_pass_the_look_on():
    net = past_start(dehazer)
    pixels = (random(80, 60, 3).numpy() * 255).astype(np.uint8)
    plain = restore(net, pixels, precision="fp32").astype(int)
    half = restore(Strength(net, 0.5), pixels, precision="fp32").astype(int)
    inside = (plain > 0) & (plain < 255)
    assert inside.sum() > 1000
    assert np.abs(half - (plain + pixels) / 2)[inside].max() <= 1
    layer = restore(Layer(Strength(net, 0.5), "transmission"), pixels, precision="fp32")
    assert np.array_equal(layer[..., 0], layer[..., 2])
    net = past_start(pyramid)
    plain = restore(net, pixels, precision="fp32").astype(int)
    mean = SelfEnsemble(net)
    mirrored = restore(mean, pixels[:, ::-1].copy(), precision="fp32")[:, ::-1].astype(int)
    found = restore(mean, pixels, precision="fp32").astype(int)
    assert np.abs(mirrored - found).max() <= 1
    assert not np.array_equal(found, plain)


def test_a_dehazer_does_the_same_to_a_mirrored_picture():
    net = past_start(dehazer)
    image = random(1, 3, 60, 80)
    with torch.no_grad():
        torch.testing.assert_close(net(image.flip(3)).flip(3), net(image), atol=1e-4, rtol=0)
        net.train()  # one look a step: the mirrored pictures are drawn by chance
        assert not torch.allclose(net(image.flip(3)).flip(3), net(image), atol=1e-2)


def test_what_the_dark_channel_says_is_weighed():
    net = dehazer.build(width=4, blocks=(1, 1)).eval()
    with torch.no_grad():
        net.trust.fill_(1.0)  # times a half, where nothing is learned
    scene = random(1, 3, 64, 64) ** 3  # with dark colours everywhere
    t, light = 0.6, 0.9
    hazy = scene * t + light * (1 - t)
    with torch.no_grad():
        depth, seen = net.haze(hazy)
    dark = light * (1 - t) / float(seen.mean())
    expected = -0.5 * np.log(1 - dehazer.OMEGA * dark)
    assert float(depth.median()) == pytest.approx(expected, abs=0.05)


def test_a_picture_without_haze_is_said_to_have_none():
    net, lines = dehazer.build(width=4, blocks=(1, 1)).eval(), []
    pixels = (random(40, 40, 3).numpy() * 255).astype(np.uint8)
    assert np.array_equal(restore(net, pixels, notify=lines.append), pixels)
    assert lines == ["hardly any haze was found in it"]
    with torch.no_grad():
        net.decoder.head.bias[:4] = 1.0  # optical depth everywhere
    restore(net, pixels, notify=lines.append)
    assert len(lines) == 1
