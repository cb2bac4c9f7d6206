"""Channels inside a residual block that the second convolution does not read are left out."""

import torch
from learning import randomised, small_network

from ssl_restore.networks.unet import ResidualBlock


def block():
    return randomised(ResidualBlock(8)).eval()


def test_a_folded_block_without_unread_channels_computes_the_same():
    whole, x = block(), torch.randn(1, 8, 9, 7)
    with torch.no_grad():
        whole.conv2.weight[:, [1, 4, 5]] = 0
        expected = whole(x.clone())
        whole.fold_norms()
        torch.testing.assert_close(whole(x.clone()), expected)
    assert whole.conv1.out_channels == whole.conv2.in_channels == 5


def test_a_block_that_reads_nothing_keeps_one_channel():
    whole = block()
    with torch.no_grad():
        whole.conv2.weight.zero_()
        whole.fold_norms()
        assert whole.conv1.out_channels == 1
        x = torch.randn(1, 8, 5, 5)
        torch.testing.assert_close(whole(x.clone()), x + whole.conv2.bias.view(1, -1, 1, 1))


def test_only_channels_that_no_picture_wakes_are_silenced(script):
    silent_channels = script("silent_channels")
    net = randomised(small_network("denoiser", {})).eval()
    first = next(part for part in net.modules() if isinstance(part, ResidualBlock))
    with torch.no_grad():
        first.norm2.bias[2] = -100.0
    pictures = [torch.rand(1, 3, 32, 48) for _ in range(3)]
    expected = [net(image) for image in pictures]
    found = silent_channels.awake(net, iter(pictures))
    silent_channels.silence(net, found)
    assert first.conv2.weight[:, 2].abs().max() == 0
    assert first.conv2.weight[:, 0].abs().max() > 0
    for image, before in zip(pictures, expected, strict=True):
        torch.testing.assert_close(net(image), before)
        torch.testing.assert_close(net.folded()(image), before, atol=1e-5, rtol=1e-4)
