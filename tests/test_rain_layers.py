"""Layers of real rain: taken from a clip, read again, and put on other pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rainy_clips import folder, rained, rainy_clip, scene

from degradations import Choice, HarvestedRain, Rain, degrade, veil
from ssl_restore.calibration import rain_layers
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore_cli.main import main


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def harvested(tmp_path):
    source, clean = rainy_clip(tmp_path / "rainy", count=20)
    result = run("rain-layers", source, tmp_path / "layers", "--count", "5")
    assert result.exit_code == 0, result.output
    return tmp_path / "layers", clean


def test_layers_are_the_light_over_the_background(harvested):
    folder_of_layers, clean = harvested
    index = json.loads((folder_of_layers / "layers.json").read_text())
    names = index["clips"][0]["layers"]
    assert len(names) == 5
    assert (folder_of_layers / "sheet.jpg").is_file()
    for name in names:
        layer = images.read(folder_of_layers / name).pixels.astype(int)
        number = int(name.rpartition("-")[2].removesuffix(".png"))
        truth = np.clip(rained(clean, number - 1).astype(int) - clean, 0, 255)
        assert np.abs(layer - truth).mean() < 0.15 * truth.mean()


def test_layers_that_were_taken_are_not_taken_again(harvested, tmp_path):
    layers, _ = harvested
    call = ("rain-layers", tmp_path / "rainy", layers, "--skip-existing")
    result = run(*call, "--count", "5")
    assert result.exit_code == 0
    assert "exist already" in result.output
    assert run(*call, "--count", "6").exit_code == 1  # others, under names that exist
    (layers / "layers.json").write_text("{")
    assert "layers.json: damaged; remove it" in run(*call, "--count", "5").output


def test_frames_in_which_a_lamp_shines_are_left_out_and_named(tmp_path):
    clean = scene()
    frames = [rained(clean, n) for n in range(15)]
    frames[7][10:50, 10:60] = 250
    found = rain_layers.harvest(folder(tmp_path / "lamp", frames), 15)
    assert 8 not in found.layers
    assert any("frame 8: most of what is brighter is larger than rain" in r for r in found.rejected)


def test_layers_of_another_clip_go_beside_them_and_replace_nothing(harvested, tmp_path):
    layers, _ = harvested
    result = run("rain-layers", tmp_path / "rainy", layers, "--count", "5")
    assert result.exit_code == 1
    assert "exists; give another folder" in result.output
    other, _ = rainy_clip(tmp_path / "other", count=12, seed=4)
    assert run("rain-layers", other, layers, "--count", "3").exit_code == 0
    assert len(json.loads((layers / "layers.json").read_text())["clips"]) == 2
    assert len(rain_layers.read(layers)) == 8  # without the sheet


def test_a_folder_without_layers_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no picture in it"):
        rain_layers.read(tmp_path / "none")
    images.write(tmp_path / "none" / "a.png", Picture(np.zeros((9, 9, 3), np.uint8)))
    with pytest.raises(UserError, match="all layers are black"):
        rain_layers.read(tmp_path / "none")


def test_windows_of_layers_are_added_with_their_gain():
    layer = torch.rand(3, 40, 50, generator=stream(1))
    prior = HarvestedRain((layer,), gain=(2, 2), size=(1, 1), rain_free=0)
    params = prior.sample((4, 3, 16, 16), stream())
    for window in params.layer:
        places = layer.unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        both = torch.cat([places, places.flip(-1)])
        assert (both - window).flatten(1).abs().amax(1).min() < 1e-6
    image = torch.rand(4, 3, 16, 16, generator=stream(2))
    torch.testing.assert_close(prior.apply(image, params), image + 2 * params.layer)


def test_small_and_eight_bit_layers_serve_large_pictures():
    layer = torch.full((1, 5, 7), 51, dtype=torch.uint8)
    prior = HarvestedRain((layer,), gain=(1, 1), rain_free=0)
    rainy = degrade(torch.zeros(2, 3, 33, 40), prior, stream())
    torch.testing.assert_close(rainy, torch.full_like(rainy, 0.2))


def test_a_share_of_images_takes_the_second_degradation():
    layer = torch.full((1, 9, 9), 0.5)
    storm = Rain(rain_free=1, veil=1, transmission=(0.5, 0.5), airlight=(0.8, 0.8))
    prior = Choice(storm, HarvestedRain((layer,), gain=(1, 1), rain_free=0), share=0.5)
    image = torch.full((64, 3, 8, 8), 0.2)
    params = prior.sample(tuple(image.shape), stream())
    rainy = prior.apply(image, params)
    second = params.second_one
    assert 10 < int(second.sum()) < 54
    torch.testing.assert_close(rainy[second], torch.full_like(rainy[second], 0.7))
    torch.testing.assert_close(rainy[~second], torch.full_like(rainy[~second], 0.5))
    t, light = veil(prior, params, image)
    assert (t[second] == 1).all()
    assert (t[~second] == 0.5).all()
    torch.testing.assert_close(light[~second], torch.full_like(light[~second], 0.4))
    still = prior.apply(image, prior.without_streaks(params))
    torch.testing.assert_close(still[second], image[second])


def test_fit_and_synth_rain_take_them(harvested, pictures, tmp_path):
    layers, _ = harvested
    photos = pictures("photos", 2, size=(48, 48))
    result = run("synth-rain", photos, tmp_path / "set", "--rain-layers", layers)
    assert result.exit_code == 0, result.output
    rainy, clean = (
        images.read(tmp_path / "set" / kind / "0.png").pixels.astype(int)
        for kind in ("rainy", "clean")
    )
    assert (rainy >= clean).all()
    assert (rainy - clean).mean() > 1
    result = run(
        "fit", "--images", photos, "--rain-layers", layers, "--recipe", "derain_physics",
        "--from-scratch", "--no-calibrate", "--steps", "2", "--set", "width=4", "--set", "patch=16",
        "--set", "batch=4", "-o", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert str(layers) in (tmp_path / "run" / "run.json").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["synth-rain", "{photos}", "{out}", "--rain-layers", "{photos}/none"],
            "no folder of layers of rain",
        ),
        (
            ["synth-rain", "{photos}", "{out}", "--rain-layers", "{photos}", "--preset", "roof"],
            "exclude each other",
        ),
        (
            ["fit", "--images", "{photos}", "--recipe", "rrcl", "--rain-layers", "{photos}"],
            "recipe rrcl takes none",
        ),
        (
            ["synth-rain", "{photos}", "{out}", "--set", "kinds=hail"],
            "'hail' is unknown; use streaks",
        ),
        (["rain-layers", "{photos}", "{photos}/0.png"], "is a file, not a folder"),
        (["rain-layers", "{photos}", "{out}"], "what is behind the rain takes at least 7"),
    ],
)
def test_what_cannot_be_is_one_line(words, message, pictures, tmp_path):
    photos = pictures("photos", 2, size=(48, 48))
    result = run(*(word.format(photos=photos, out=tmp_path / "out") for word in words))
    assert result.exit_code in {1, 2}
    assert message in result.output
    assert "Traceback" not in result.output


def test_kinds_are_set_by_their_names(pictures, tmp_path):
    photos = pictures("photos", 1, size=(48, 48))
    words = ("synth-rain", photos, tmp_path / "set", "--set", "kinds=drips, dots")
    assert run(*words).exit_code == 0
    assert (tmp_path / "set" / "rainy" / "0.png").is_file()
