"""A gate that looks at a picture once, and the restorer that it chooses for it."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import ssl_restore
from ssl_restore import discover, weights
from ssl_restore.errors import UserError
from ssl_restore.inference.fine_to_coarse import restore_pixels, restore_values
from ssl_restore.inference.folders import restore_all
from ssl_restore.inference.load import fingerprint
from ssl_restore.inference.mixture import (
    AVERAGED,
    CERTAIN,
    HURRIED,
    HURRIED_LOOK,
    USUAL,
    InTurn,
    Mixture,
    single,
    suited,
)
from ssl_restore.inference.ranged import Ranged
from ssl_restore.inference.wrappers import (
    SelfEnsemble,
    Strength,
    with_quality,
    with_thoroughness,
)
from ssl_restore.io import folders, images
from ssl_restore.io.clips.encoders import Encoding
from ssl_restore.io.picture import Picture
from ssl_restore.networks import gate, unet
from ssl_restore.objectives.rendered_rain import ODDS
from ssl_restore.training import warm_start


class Saying(torch.nn.Module):
    """A gate that says what it was told to."""

    def __init__(self, rain, camera):
        super().__init__()
        self.odds = (rain, camera)

    def forward(self, maps):
        return torch.tensor(self.odds)


class Seeing(Mixture):
    """One that keeps what it looked at."""

    def look(self, windows):
        self.seen.append(windows.clone())
        return super().look(windows)


def expert(seed):
    """Small, and one that changes what it is given."""
    torch.manual_seed(seed)
    net = unet.build(width=4, blocks=(1, 1, 1), thorough=True)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    net.task = "derain"
    return net.eval()


@pytest.fixture
def experts():
    return [expert(1), expert(2)]


def picture(height=90, width=70, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def mixture(experts, rain=5.0, camera=5.0):
    mixed = Seeing(*experts, Saying(rain, camera), experts[-1])
    mixed.seen = []
    return mixed


# What it chooses


def test_a_grey_picture_of_one_pixel_is_looked_at(experts):
    given = np.zeros((1, 1, 1), np.uint8)
    assert restore_pixels(mixture(experts), given).shape == given.shape


@pytest.mark.parametrize("camera", [0.0, 4.0])
def test_the_rain_of_cameras_is_removed_by_the_second_alone(experts, camera):
    mixed, given = mixture(experts, camera=camera), picture()
    last = experts[1].told(USUAL[1])
    expected = restore_pixels(last, given, precision="fp32")
    assert np.array_equal(restore_pixels(mixed, given, precision="fp32"), expected)
    assert not np.array_equal(restore_pixels(experts[0], given, precision="fp32"), expected)
    image = images.to_tensor(given)
    assert torch.equal(
        restore_values(mixed, image, precision="fp32"),
        restore_values(last, image, precision="fp32"),
    )


@pytest.mark.parametrize("camera", [-3.0, -0.01])
def test_thin_rain_is_removed_by_the_first_and_what_it_leaves_by_the_second(experts, camera):
    mixed, image = mixture(experts, camera=camera), images.to_tensor(picture(96, 72))
    first, second = (one.told(usual) for one, usual in zip(experts, USUAL, strict=True))
    between = restore_values(first, image, precision="fp32")
    expected = restore_values(second, between, precision="fp32")
    found = restore_values(mixed, image, precision="fp32")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (between - expected).abs().max() > 0.01


def test_both_in_turn_are_the_same_in_tiles_and_tell_the_rain_of_both(experts):
    both, given = InTurn(*experts), picture(200, 180)
    one, other = (restore_pixels(both, given, tile=tile, precision="fp32") for tile in (0, 64))
    assert np.abs(one.astype(int) - other).max() <= 1
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        layers, first = both.layers(image), experts[0].layers(image)
        second = experts[1].layers(first["clean"])
        assert torch.equal(layers["rain"], first["rain"] + second["rain"])
        assert torch.equal(layers["clean"], both(image))
    assert both.layers_reach == experts[0].layers_reach + experts[1].layers_reach


def test_at_smaller_sizes_the_second_is_alone_and_as_thorough(experts):
    for one in experts:
        one.coarse_from = 10
    chosen = mixture(experts, camera=-1.0).suited(torch.zeros(1, 3, 16, 16))
    coarse = chosen.at_smaller_sizes()
    assert coarse.encoder is experts[1].encoder
    assert coarse.thorough == chosen.second.thorough == USUAL[1]
    assert (chosen.coarse_from, experts[0].at_smaller_sizes().thorough) == (10, 0.25)


def test_it_looks_once_however_many_tiles_and_smaller_sizes(experts):
    mixed, given = mixture(experts), picture(200, 180)
    restore_pixels(mixed, given, scale=4, tile=64, precision="fp32")
    (seen,) = mixed.seen
    assert torch.equal(seen, gate.looked_at(given, 0.7))


@pytest.mark.parametrize("rain", [3.0, 0.0, -0.5, -1.5, -9.0])
def test_where_no_rain_is_seen_odds_fall_by_those_of_rain(experts, rain):
    chosen, share = mixture(experts, rain=rain).suited(torch.zeros(1, 3, 16, 16)), 1.0
    if isinstance(chosen, Strength):
        chosen, share = chosen.inner, chosen.strength
        assert chosen.thorough == 0
    odds = share * ODDS ** (2 * chosen.thorough - 1) / ODDS ** (2 * USUAL[1] - 1)
    assert odds == pytest.approx(math.exp(min(0.0, rain - CERTAIN)))


def test_a_picture_in_which_no_rain_is_seen_is_named_once(experts, tmp_path):
    for number in range(2):
        images.write(tmp_path / f"{number}.png", Picture(picture(seed=number)))
    jobs = folders.plan((str(tmp_path),), str(tmp_path / "out"), recursive=False, overwrite=False)
    for rain, count in ((-5.0, 1), (5.0, 0)):
        lines = []
        restore_all(jobs, mixture(experts, rain=rain), precision="fp32", notify=lines.append)
        assert len([line for line in lines if "hardly any rain is seen" in line]) == count


def test_who_is_told_how_thorough_to_be_is_so_whatever_is_seen(experts):
    told = with_thoroughness(mixture(experts, rain=-9.0, camera=-1.0), 0.8)
    chosen = told.suited(torch.zeros(1, 3, 16, 16))
    assert (told.thorough, chosen.first.thorough, chosen.second.thorough) == (0.8, 0.8, 0.8)
    assert chosen.first.encoder is experts[0].encoder
    assert experts[0].thorough == 0.5  # as before


@pytest.mark.parametrize(("camera", "number"), [(HURRIED - 0.1, 0), (1.0, 1)])
@pytest.mark.parametrize("told", [None, 0.8])
def test_in_a_hurry_one_of_them_is_applied(experts, camera, number, told):
    windows, mixed = torch.zeros(1, 3, 16, 16), mixture(experts, camera=camera)
    given = mixed if told is None else with_thoroughness(mixed, told)
    chosen = with_quality(given, "fast").suited(windows)
    assert chosen.encoder is experts[number].encoder
    assert chosen.thorough == (USUAL[number] if told is None else told)
    assert isinstance(mixed.suited(windows), InTurn) == (camera < 0)  # as before
    image = picture()
    wrapped = with_quality(Strength(given, 0.5), "fast")
    assert np.array_equal(
        restore_pixels(wrapped, image, precision="fp32"),
        restore_pixels(Strength(chosen, 0.5), image, precision="fp32"),
    )


def test_in_a_hurry_both_are_applied_where_the_gate_is_not_sure(experts):
    chosen = with_quality(mixture(experts, camera=HURRIED), "fast").suited(
        torch.zeros(1, 3, 16, 16)
    )
    assert (chosen.first.thorough, chosen.second.thorough) == USUAL


def test_in_a_hurry_the_gate_is_shown_less_of_the_picture(experts):
    mixed, given = mixture(experts), picture(200, 180)
    for hurried in (with_quality(Strength(mixed, 0.5), "fast"), with_quality(mixed, "fast")):
        restore_pixels(hurried, given, precision="fp32")
    small = gate.looked_at(given, HURRIED_LOOK)
    assert [torch.equal(seen, small) for seen in mixed.seen] == [True, True]
    assert small.numel() < gate.looked_at(given, mixed.looks_at).numel()


def test_where_positions_are_averaged_it_is_more_thorough_unless_told(experts):
    windows, mixed = torch.zeros(1, 3, 16, 16), mixture(experts, camera=-1.0)
    for restorer, expected in (
        (with_quality(mixed, "best"), AVERAGED),
        (with_quality(with_thoroughness(mixed, 0.1), "best"), (0.1, 0.1)),
        (with_quality(mixed, "good"), USUAL),
    ):
        chosen = restorer.suited(windows)
        chosen = getattr(chosen, "inner", chosen)
        assert (chosen.first.thorough, chosen.second.thorough) == expected


def test_wrappers_are_around_the_one_that_was_chosen(experts):
    given, mixed = picture(), mixture(experts, camera=-1.0)
    wrapped = Strength(SelfEnsemble(mixed), 0.5)
    both = (one.told(usual) for one, usual in zip(experts, USUAL, strict=True))
    expected = Strength(SelfEnsemble(InTurn(*both)), 0.5)
    assert wrapped.chooses
    chosen = suited(wrapped, given)
    assert not chosen.chooses
    assert np.array_equal(
        restore_pixels(wrapped, given, precision="fp32"),
        restore_pixels(expected, given, precision="fp32"),
    )


def test_the_gate_sees_where_white_is(experts):
    given = (picture().astype(np.uint16) * 16).clip(0, 4080)
    mixed = mixture(experts)
    restore_pixels(Ranged(mixed, 4080 / 65535), given, precision="fp32")
    assert float(mixed.seen[0].max()) == pytest.approx(1.0, abs=0.01)


def test_of_itself_it_is_the_second_with_room_for_both(experts):
    larger = unet.build(width=4, blocks=(1, 1, 1, 1), thorough=True).eval()
    mixed, image = mixture([experts[0], larger]), torch.rand(1, 3, 32, 32)
    assert mixed.thorough == mixed.inner.thorough == USUAL[1]
    assert torch.equal(mixed(image), larger.told(USUAL[1])(image))
    assert mixed.layers(image).keys() == larger.layers(image).keys()
    assert (mixed.stride, mixed.reach) == (larger.stride, larger.reach + experts[0].reach)
    assert mixture([larger, experts[0]]).stride == larger.stride


def test_who_learns_on_starts_from_one_of_them(experts):
    for camera, number in ((-1.0, 0), (1.0, 1)):
        chosen = single(mixture(experts, camera=camera), picture())
        assert chosen.encoder is experts[number].encoder
        assert chosen.thorough == USUAL[number]
    assert single(experts[0], picture()) is experts[0]


def test_a_layer_is_that_of_what_restored_the_picture(experts, tmp_path):
    given = picture(96, 72)
    images.write(tmp_path / "a.png", Picture(given))
    jobs = folders.plan(
        (str(tmp_path / "a.png"),), str(tmp_path / "b.png"), recursive=False, overwrite=False,
        layers=tmp_path / "layers",
    )  # fmt: skip
    mixed = mixture(experts, camera=-1.0)
    assert restore_all(jobs, mixed, precision="fp32", layer="rain") == []
    both = InTurn(*(one.told(usual) for one, usual in zip(experts, USUAL, strict=True)))
    with torch.no_grad():
        rain = both.layers(images.to_tensor(given))["rain"]
    expected = (255 * rain.clamp(0, 1)).round()[0].expand(3, -1, -1).permute(1, 2, 0).numpy()
    (written,) = (tmp_path / "layers").glob("*.png")
    assert np.abs(images.read(written).pixels - expected).max() <= 1


def test_frames_of_a_clip_have_one_restorer_chosen_by_a_few_of_them(experts, tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(3):
        images.write(tmp_path / f"frames/{number}.png", Picture(picture(seed=number)))
    jobs = folders.plan(
        (str(tmp_path / "frames"),), str(tmp_path / "out"), recursive=False, overwrite=False
    )
    mixed = mixture(experts)
    assert restore_all(jobs, mixed, precision="fp32") == []
    assert len(mixed.seen) == 3  # pictures of a folder: each has its own
    clip = tmp_path / "clip.mkv"
    frames = [images.read(tmp_path / f"frames/{number}.png").pixels[:88] for number in range(3)]
    write_clip(clip, frames)
    jobs = folders.plan((str(clip),), str(tmp_path / "clip_out"), clips=Encoding(None, None))
    mixed = mixture(experts)
    assert restore_all(jobs, mixed, precision="fp32") == []
    (seen,) = mixed.seen
    assert torch.equal(seen, torch.cat([gate.looked_at(frame, 0.7) for frame in frames]))


def write_clip(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_it_goes_to_another_process(experts):
    mixed = Mixture(*experts, gate.Gate(4 + 8 + 16).eval(), experts[1])
    copied = pickle.loads(pickle.dumps(mixed))
    given = picture()
    assert np.array_equal(
        restore_pixels(copied, given, precision="fp32"),
        restore_pixels(mixed, given, precision="fp32"),
    )


# The one that is installed


def test_the_built_in_derainer_chooses_and_a_copy_of_one_expert_does_not(tmp_path):
    path = weights.built_in("derain")
    assert weights.parts(path) == (path, weights.expert("derain"), weights.gate("derain"))
    assert ssl_restore.load(path).chooses
    copied = tmp_path / "restorer.safetensors"
    copied.write_bytes(path.read_bytes())
    assert not ssl_restore.load(copied).chooses
    assert weights.parts(copied) == (copied,)
    assert not ssl_restore.load("denoise").chooses


def test_the_restorers_that_a_mixture_is_made_of_stay_as_they_are(experts):
    before = experts[1].careful
    mixed = mixture(experts)
    assert experts[1].careful == before > 0
    assert mixed.inner.at_smaller_sizes().thorough == mixed.inner.thorough


@pytest.mark.parametrize("part", ["expert", "gate"])
def test_a_part_that_is_missing_or_damaged_is_named(tmp_path, monkeypatch, part):
    for path in weights.parts(weights.built_in("derain")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    own = getattr(weights, part)("derain")
    content = own.read_bytes()
    header = int.from_bytes(content[:8], "little") + 8
    not_finite = content[:header] + b"\xff" * (len(content) - header)
    for damaged in (content[:-9], b"", b"junk" * 99, not_finite):
        own.write_bytes(damaged)
        with pytest.raises(UserError, match=own.name):
            ssl_restore.load("derain")
    own.unlink()
    with pytest.raises(UserError, match=f"{own.name}.*install ssl-restore again"):
        ssl_restore.load("derain")
    with pytest.raises(UserError, match=f"{own.name}.*install ssl-restore again"):
        fingerprint(own)


def test_the_built_in_derainer_is_known_however_its_path_is_written(tmp_path, monkeypatch):
    path = weights.built_in("derain")
    (tmp_path / "link.safetensors").symlink_to(path)
    monkeypatch.chdir(path.parent)
    for other in (tmp_path / "link.safetensors", Path(path.name)):
        assert ssl_restore.load(other).chooses


def test_fit_starts_from_the_expert_that_suits_the_folder(tmp_path, monkeypatch):
    recipe = discover.recipe("derain_unpaired", {})
    images.write(tmp_path / "a.png", Picture(picture()))
    (tmp_path / "b.png").write_text("no picture")
    for odds, path in ((-2.0, weights.expert("derain")), (2.0, weights.built_in("derain"))):
        monkeypatch.setattr(Mixture, "look", lambda self, windows, odds=odds: (0.0, odds))
        assert warm_start.default_start(recipe, tmp_path) == str(path)
    assert warm_start.default_start(recipe) == str(weights.built_in("derain"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert warm_start.default_start(recipe, empty) == str(weights.built_in("derain"))
    monkeypatch.setattr(Mixture, "look", lambda self, windows: (0.0, -2.0))
    below = tmp_path / "top" / "below"
    below.mkdir(parents=True)
    images.write(below / "a.png", Picture(picture()))
    assert warm_start.default_start(recipe, below.parent) == str(weights.built_in("derain"))
    assert warm_start.default_start(recipe, below.parent, recursive=True) == str(
        weights.expert("derain")
    )
