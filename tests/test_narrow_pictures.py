"""Files of 16 bits that use fewer are restored in their range by every task, and stay in it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from noisy import photograph
from tiny import Means, pixels, random_restorer, write_photo

import ssl_restore as sr
from ssl_restore import discover
from ssl_restore.inference.denoising import Treatments
from ssl_restore.inference.fine_to_coarse import restore_pixels
from ssl_restore.inference.folders import restore_all
from ssl_restore.inference.ranged import Ranged
from ssl_restore.inference.solve import solve_all
from ssl_restore.io import folders, images
from ssl_restore.io.picture import Picture
from ssl_restore_cli.main import main

WHITES = [1023, 4095]
TASKS = discover.names("tasks", "task")
CPU = torch.device("cpu")


class Brighter(Means):
    """Of the picture, so that white is left; with a layer of its own."""

    layer_names = ("clean", "square")

    def forward(self, image):
        return 1.3 * image.sqrt() - 0.1

    def layers(self, image):
        return {"clean": self(image), "square": image[:, :1].square()}


class Doubled(Brighter):
    scale = 2

    def forward(self, image):
        return super().forward(image).repeat_interleave(2, -1).repeat_interleave(2, -2)


def narrow(eight, white):
    """uint8 -> uint16 up to `white`."""
    return np.rint(eight.astype(float) * (white / 255)).astype(np.uint16)


def plan(folder, picture, **how):
    images.write(folder / "a.png", Picture(picture))
    return folders.plan([str(folder / "a.png")], str(folder / "out.png"), **how)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("white", WHITES)
def test_a_narrow_picture_is_restored_as_one_of_eight_bits_and_stays_narrow(task, white, tmp_path):
    eight = photograph(96)
    restorer = (Doubled() if task == "upscale" else Brighter()).eval()
    restorer.task = task
    choose = Treatments(restorer, grain=1, strength=1.0) if task == "denoise" else None
    said = []
    jobs = plan(tmp_path, narrow(eight, white))
    if choose is not None:
        choose.notify = said.append
    assert restore_all(jobs, restorer, choose=choose, precision="fp32", notify=said.append) == []
    result = images.read(tmp_path / "out.png").pixels
    assert result.max() == white
    expected = restore_pixels(restorer, eight, precision="fp32")
    assert np.abs(result * (255 / white) - expected).max() < 6 + 255 / white
    assert np.abs(result * (255 / white) - expected).mean() < 0.6
    assert len([line for line in said if f"white {white}" in line]) == 1
    array = sr.restore(narrow(eight, white), restorer, precision="fp32")
    assert np.array_equal(array, result)


@pytest.mark.parametrize("task", ["derain", "dehaze", "upscale"])
def test_the_built_in_weights_see_ten_bits_as_eight(task, tmp_path):
    hazy = np.rint(0.4 * photograph(128) + 0.6 * 220).astype(np.uint8)
    how = ["--precision", "fp32"] + (["--scale", "2"] if task != "dehaze" else [])
    results = []
    for name, picture in (("eight", hazy), ("ten", narrow(hazy, 1023))):
        images.write(tmp_path / f"{name}.png", Picture(picture))
        call = [task, str(tmp_path / f"{name}.png"), str(tmp_path / f"{name}-out.png"), *how]
        ran = CliRunner().invoke(main, call)
        assert ran.exit_code == 0, ran.output
        assert ("white 1023" in ran.stderr) == (name == "ten")
        results.append(images.read(tmp_path / f"{name}-out.png").pixels)
    eight, ten = results
    assert ten.max() <= 1023
    assert np.abs(ten * (255 / 1023) - eight).max() <= 2


def test_smaller_sizes_do_not_leave_the_range():
    class Contrast(Means):
        """Takes dark from what it is given: coarse sizes brighten what is white."""

        def forward(self, image):
            return image + 0.5 * (image - super().forward(image))

    ten = narrow(pixels(64, 64), 1023)
    restorer = Ranged(Contrast(9).eval(), 1023 / 65535)
    assert restore_pixels(restorer, ten, scale=4, precision="fp32").max() == 1023


@pytest.mark.parametrize("layer", [None, "square"])
def test_layers_are_in_the_range_of_the_picture(layer, tmp_path):
    eight = photograph(64)
    ten = narrow(eight, 1023)
    jobs = plan(tmp_path, ten, layers=tmp_path / "layers")
    restorer = (Means() if layer is None else Brighter()).eval()
    assert restore_all(jobs, restorer, layer=layer, precision="fp32") == []
    found = images.read(jobs[0].layer).pixels.astype(int)
    if layer is None:
        after = images.read(jobs[0].target).pixels
        assert np.array_equal(found, (ten.astype(int) - after).clip(0))
        assert found.max() > 100
    else:
        np.testing.assert_allclose(found[..., 0], 1023 * (ten[..., 0] / 1023) ** 2, atol=1)


def test_strength_0_gives_the_picture_back_with_its_hot_pixels():
    ten = narrow(photograph(96), 1023)
    ten[5, 5], ten[40, 41, 1] = 65535, 2000
    for task in TASKS:
        restorer = Brighter().eval()
        restorer.task = task
        assert np.array_equal(sr.restore(ten, restorer, strength=0, precision="fp32"), ten), task


def test_a_restorer_that_enlarges_keeps_light_beyond_white_where_it_leaves_white():
    image = torch.full((1, 3, 8, 8), 0.01)
    image[..., 2, 3] = 0.5
    result = Ranged(Doubled().eval(), 0.02)(image)
    torch.testing.assert_close(result[..., 4:6, 6:8], torch.full((1, 3, 2, 2), 0.5))
    assert (result > 0.02).sum() == 3 * 4


@pytest.mark.parametrize("white", [16383, 40000])
def test_a_dark_picture_of_16_bits_is_restored_as_it_is(white, tmp_path):
    dark = narrow(photograph(64), white)
    said = []
    jobs = plan(tmp_path, dark)
    assert restore_all(jobs, Brighter().eval(), precision="fp32", notify=said.append) == []
    plain = restore_pixels(Brighter().eval(), dark, precision="fp32")
    assert np.array_equal(images.read(tmp_path / "out.png").pixels, plain)
    assert said == []


@pytest.mark.parametrize("strength", [0, 1, 2])
def test_a_solver_is_given_what_a_narrow_picture_uses(strength, tmp_path):
    ten = narrow(photograph(64), 1023)
    jobs, said, given = plan(tmp_path, ten, layers=tmp_path / "layers"), [], []

    def solve(image):
        given.append(float(image.max()))
        return {"clean": 1.2 * image.sqrt(), "map": image[:, :1]}

    how = partial(solve_all, seed=0, device=CPU, layer="map", notify=said.append)
    assert how(jobs, solve, strength=strength) == []
    assert given == [pytest.approx(ten.max() / 1023)]
    assert [line.split(": ")[1] for line in said] == ["10 of 16 bits are used; white 1023"]
    result = images.read(tmp_path / "out.png").pixels
    assert result.max() == max(ten.max(), 1023 if strength else 0)
    assert np.array_equal(result, ten) == (strength == 0)
    np.testing.assert_allclose(images.read(jobs[0].layer).pixels[..., 0], ten[..., 0], atol=1)


def test_the_range_is_said_once_for_all_pictures_and_of_none_of_eight_bits(tmp_path):
    for name in "abc":
        images.write(tmp_path / f"{name}.png", Picture(narrow(photograph(64), 1023)))
    write_photo(tmp_path / "d.png", 64, 64)
    said = []
    jobs = folders.plan([str(tmp_path)], str(tmp_path / "out"))
    assert restore_all(jobs, random_restorer(), precision="fp32", notify=said.append) == []
    assert len(said) == 1
