"""A restorer that looks at the whole picture, and spares it where it finds next to nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.ndimage import gaussian_filter

import ssl_restore
import ssl_restore_samples
from degradations.drops import DefocusedDrops
from degradations.sampling import degrade
from degradations.smoothing import smooth
from ssl_restore.errors import UserError
from ssl_restore.evaluation.metrics import psnr
from ssl_restore.inference import export, sparing
from ssl_restore.inference.fine_to_coarse import restore_pixels, restore_values
from ssl_restore.inference.load import load_restorer
from ssl_restore.inference.sparing import (
    FROM,
    LEAST,
    LITTLE,
    REMEDY,
    SHARP,
    SMALL_PX,
    SMOOTH_PX,
    TO,
    UNSEEN,
    Sparing,
    coverage,
    sharpness,
)
from ssl_restore.inference.wrappers import (
    SelfEnsemble,
    Strength,
    with_quality,
    with_thoroughness,
)
from ssl_restore.io import images
from ssl_restore.networks import memorynet
from ssl_restore.objectives.rendered_rain import ODDS
from ssl_restore_cli.main import main


def picture(height=90, width=70, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


class Covering(Sparing):
    """One that is told what it sees, and keeps what it looked at."""

    def __init__(self, inner, share):
        super().__init__(inner)
        self.share, self.seen = share, []

    def coverage(self, windows):
        self.seen.append(windows)
        return self.share


@pytest.fixture
def inner():
    torch.manual_seed(1)
    net = memorynet.build(width=4, blocks=(1, 1), memory=False)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    net.task, net.symmetry = "dedrop", (0, 4)
    return net.eval()


def test_what_all_stages_change_alike_is_counted(monkeypatch):
    monkeypatch.setattr(sparing, "SMALL_PX", 1)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 20, 24, generator=generator)
    noise = torch.randn(3, 2, 3, 20, 24, generator=generator)
    stages = [image + torch.linspace(0, 0.1, 24) * (1 + one) for one in noise]
    expected = []
    for number in range(2):
        agreed = np.zeros((20, 24))
        for y, x, channel in np.ndindex(20, 24, 3):
            changes = [float((s - image)[number, channel, y, x]) for s in stages]
            if min(changes) > 0 or max(changes) < 0:
                agreed[y, x] += min(map(abs, changes)) / 3
        expected.append(gaussian_filter(agreed, SMOOTH_PX, mode="reflect", truncate=4) > LEAST)
    assert 0.1 < np.mean(expected) < 0.9
    assert coverage(stages, image) == pytest.approx(np.mean(expected), abs=0.01)


def test_one_stage_that_changes_nothing_is_enough_to_count_nothing():
    image = torch.rand(1, 3, 16, 16)
    assert coverage([image + 0.5, image - 0.5, image], image) == 0
    assert coverage([image + 0.5, image - 0.5], image) == 0
    assert coverage([image - 0.5, image - 0.4], image) == 16**2 / SMALL_PX


@pytest.mark.parametrize(
    ("size", "share"), [((256, 128), 0.5), ((256, 256), 1.0), ((300, 400), 1.0)]
)
def test_in_a_small_picture_fewer_drops_can_be_seen(size, share):
    image = torch.full((1, 3, *size), 0.5)
    assert coverage([image - 0.1], image) == share


def test_the_sharpest_part_tells_how_sharp_a_picture_is():
    image = images.to_tensor(picture(96, 120))
    width = torch.tensor([2.0])
    found = [sharpness(one) for one in (image, smooth(image, width / 2), smooth(image, width))]
    assert found[0] > SHARP > found[1] > 1 > found[2]
    one_sharp = smooth(image, width)
    one_sharp[..., :48, :48] = image[..., :48, :48]
    assert sharpness(one_sharp) == pytest.approx(found[0], rel=0.1)
    assert sharpness(0.3 * image + 0.2) == pytest.approx(found[0], rel=0.01)
    assert sharpness(torch.full((1, 3, 5, 40), 0.5)) == math.inf


def test_where_nothing_is_sharp_more_must_be_found(inner):
    sharp = images.to_tensor(picture(96, 120))
    soft = smooth(sharp, torch.tensor([2.0]))
    odds = (sharpness(soft) / SHARP) ** 3
    assert odds < 0.5
    assert Covering(inner, TO).suited(sharp) is inner
    assert Covering(inner, TO).suited(soft).strength == 0
    taken = Covering(inner, (FROM + 0.5 * (TO - FROM)) / odds).suited(soft)
    assert taken.strength == pytest.approx(0.25)


@pytest.mark.parametrize("share", [0.0, FROM])
def test_a_picture_in_which_next_to_nothing_is_found_comes_back_and_that_is_said(inner, share):
    given, spared = picture(), Covering(inner, share)
    assert np.array_equal(restore_pixels(spared, given, precision="fp32"), given)
    windows = torch.zeros(1, 3, 8, 8)
    assert spared.suited(windows).note == UNSEEN + REMEDY
    assert with_thoroughness(spared, 0.4).suited(windows).note == UNSEEN
    most = Covering(inner, FROM + 1.01 * LITTLE**0.5 * (TO - FROM)).suited(windows)
    assert LITTLE < most.strength < 1
    assert most.note is None


@pytest.mark.parametrize("share", [TO, 1.0])
def test_where_much_is_found_it_is_the_restorer_inside(inner, share):
    chosen = Covering(inner, share).suited(torch.zeros(1, 3, 8, 8))
    assert chosen is inner
    assert not chosen.chooses


def test_in_between_it_takes_a_share(inner):
    image = images.to_tensor(picture())
    spared = Covering(inner, FROM + 0.5 * (TO - FROM))
    whole = restore_values(inner, image, precision="fp32")
    assert not torch.equal(whole, image)
    torch.testing.assert_close(
        restore_values(spared, image, precision="fp32"), image.lerp(whole, 0.25), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("thorough", [0.0, 0.3, 0.5, 1.0])
def test_the_more_thorough_the_less_need_be_found(inner, thorough):
    odds = ODDS ** (2 * thorough - 1)
    for share, taken in ((1.01 * TO / odds, True), (0.99 * FROM / odds, False)):
        spared = with_thoroughness(Covering(inner, share), thorough)
        chosen = spared.suited(torch.zeros(1, 3, 8, 8))
        assert (chosen is inner) is taken
        assert taken or chosen.strength == 0


def test_it_looks_once_at_all_of_a_small_picture(inner):
    given, spared = picture(200, 180), Covering(inner, 1.0)
    restore_pixels(spared, given, scale=2, tile=64, precision="fp32")
    (seen,) = spared.seen
    assert torch.equal(seen, images.to_tensor(given))


def test_where_next_to_nothing_is_found_it_looks_again_at_each_smaller_size(inner):
    given = picture(200, 180)
    spared = Covering(inner, 0.0)
    for restorer in (spared, with_quality(spared, "best")):
        spared.seen.clear()
        restored = restore_pixels(restorer, given, scale=4, precision="fp32")
        assert np.array_equal(restored, given)
        assert [seen.shape[-2:] for seen in spared.seen] == [(200, 180), (100, 90), (50, 45)]
        spared.seen.clear()
        restore_values(restorer, images.to_tensor(given), scale=4, precision="fp32")
        assert len(spared.seen) == 3


def test_where_much_is_found_it_takes_as_much_at_smaller_sizes(inner):
    given, spared = picture(), Covering(inner, FROM + 0.9 * (TO - FROM))
    restored = restore_pixels(spared, given, scale=2, precision="fp32")
    assert len(spared.seen) == 1
    expected = restore_pixels(Strength(inner, 0.81), given, scale=2, precision="fp32")
    assert np.array_equal(restored, expected)


@pytest.mark.parametrize("size", [(1, 1, 3), (1, 1, 1), (5, 300, 3), (33, 17, 1)])
def test_pictures_of_any_size_are_looked_at(inner, size):
    given = np.full(size, 100, np.uint8)
    assert restore_pixels(Sparing(inner), given).shape == given.shape


def test_it_is_mirrored_inside_the_share(inner):
    given = picture()
    best = with_quality(Covering(inner, 1.0), "best")
    assert isinstance(best, SelfEnsemble)
    assert best.chooses
    expected = restore_pixels(with_quality(inner, "best"), given, precision="fp32")
    assert np.array_equal(restore_pixels(best, given, precision="fp32"), expected)
    none = with_quality(Covering(inner, 0.0), "best")
    assert np.array_equal(restore_pixels(none, given, precision="fp32"), given)


def test_the_built_in_one_spares_and_what_is_learned_on_does_not():
    cpu = torch.device("cpu")
    assert isinstance(load_restorer(None, cpu, task="dedrop"), Sparing)
    assert not load_restorer(None, cpu, task="dedrop", trainable=True).chooses
    assert not load_restorer(None, cpu, task="dehaze").chooses


def test_photographs_come_back_and_drops_go():
    restorer = ssl_restore.load("dedrop", device="cpu")
    paths = images.find(ssl_restore_samples.photographs())[::12]
    for number, path in enumerate(paths):
        clean = images.read(path).pixels[:256, :256]
        assert psnr(restore_pixels(restorer, clean), clean) > 35
        drops = DefocusedDrops(radius_px=(8, 16), count=(30, 60), coverage=(0.4, 0.6))
        stream = torch.Generator().manual_seed(number)
        wet = degrade(images.to_tensor(clean), drops, stream)[0].permute(1, 2, 0)
        given = (255 * wet.clamp(0, 1)).round().byte().numpy()
        assert psnr(restore_pixels(restorer, given), clean) > psnr(given, clean) + 0.5


def test_what_is_exported_does_not_look_and_that_is_said(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(export, "export", lambda net, *given, **more: written.append(net) or 0.0)
    target = tmp_path / "drops.onnx"
    result = CliRunner().invoke(main, ["export", "--task", "dedrop", "-o", str(target)])
    assert result.exit_code == 0
    assert "without its look at the whole picture" in result.output
    assert isinstance(written[0], memorynet.MemoryNet)


def test_thoroughness_is_refused_where_it_means_nothing(tmp_path):
    source, mask = tmp_path / "in.png", tmp_path / "mask.png"
    Image.fromarray(picture(32, 32)).save(source)
    Image.fromarray(picture(32, 32)[..., 0]).save(mask)
    given = ["dedrop", str(source), str(tmp_path / "out.png"), "--thorough", "0.8"]
    result = CliRunner().invoke(main, [*given, "--mask", str(mask)])
    assert result.exit_code == 2
    assert "--thorough is for what finds drops by itself: leave out --mask" in result.output
    assert CliRunner().invoke(main, given).exit_code == 0
    with pytest.raises(UserError, match="cannot be told"):
        with_thoroughness(load_restorer(None, torch.device("cpu"), task="dehaze"), 0.8)
