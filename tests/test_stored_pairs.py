"""Stored pairs among rendered rain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import pixels

from degradations import Rain, Sensor
from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.networks import unet
from ssl_restore.objectives import stored_pairs
from ssl_restore.objectives.synthetic_rain import Shares, SyntheticRain
from ssl_restore.recipes import derain_physics
from ssl_restore.types import Batch


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def write_pairs(folder, count=3, size=(40, 48)):
    for number in range(count):
        clean = pixels(*size, seed=number) // 2
        for kind, picture in (("rainy", clean + 60), ("clean", clean)):
            path = folder / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, Picture(picture.astype(np.uint8)))
    return folder


def test_patches_of_a_pair_show_the_same_place(tmp_path):
    pairs = stored_pairs.read(write_pairs(tmp_path), least=16)
    rainy, clean = pairs.draw(50, 16, stream())
    assert rainy.shape == clean.shape == (50, 3, 16, 16)
    torch.testing.assert_close(255 * (rainy - clean), torch.full_like(rainy, 60.0))
    assert len({float(patch.mean()) for patch in rainy}) > 40


def test_a_share_of_the_rendered_pictures_is_taken_from_pairs(tmp_path):
    pairs = stored_pairs.read(write_pairs(tmp_path), least=16)
    rain = Rain(rain_free=1, veil=1, transmission=(0.5, 0.5))
    clean = torch.rand(60, 3, 16, 16, generator=stream(1))
    for share in (0.0, 0.5, 1.0):
        restorer = unet.build(width=4, blocks=(1, 1))
        objective = SyntheticRain(restorer, rain, Sensor(), Shares(pairs=share), pairs)
        rendered = objective.prepare(Batch(clean, None), stream())
        light = (rendered.rainy - rendered.veiled).flatten(1).mean(dim=1)
        taken = light > 0.2
        assert share * 60 - 15 <= int(taken.sum()) <= share * 60 + 15
        assert (rendered.transmission[taken] == 1).all()
        assert (rendered.light[taken] == 0).all()
        assert (rendered.transmission[~taken] == 0.5).all()


def test_the_recipe_learns_from_a_folder_of_them(tmp_path):
    recipe = derain_physics.build(width=4, patch=16, pairs=str(write_pairs(tmp_path)))
    objective = recipe.players[0].objective
    terms = objective(Batch(torch.rand(4, 3, 16, 16, generator=stream(1)), None), stream())
    assert all(term.isfinite() for term in terms.values())


def test_what_is_no_pair_is_named(tmp_path):
    folder = write_pairs(tmp_path / "small")
    with pytest.raises(UserError, match=r"48x40, its pair 48x40.* and 64 or more"):
        stored_pairs.read(folder, least=64)
    (folder / "clean" / "1.png").unlink()
    with pytest.raises(UserError, match=r"clean/1\.png"):
        stored_pairs.read(folder, least=16)
    with pytest.raises(UserError, match="none"):
        stored_pairs.read(tmp_path / "none", least=16)
