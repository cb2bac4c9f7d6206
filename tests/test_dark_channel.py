"""The dark channel prior: against its definition, on haze of known numbers, and where it fails."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from ssl_restore.calibration import dark_channel
from ssl_restore.solvers.dark_channel import solve


def scene(height=120, width=160, seed=0):
    """Coloured tiles of 8 pixels, one colour of each nearly black: the prior holds."""
    generator = np.random.default_rng(seed)
    tiles = generator.uniform(0.1, 0.8, (height // 8, width // 8, 3))
    tiles[np.arange(height // 8)[:, None], np.arange(width // 8), generator.integers(
        0, 3, tiles.shape[:2])] = 0.0  # fmt: skip
    return tiles.repeat(8, axis=0).repeat(8, axis=1).astype(np.float32)


def hazy(clean, t, airlight=(0.8, 0.85, 0.9)):
    return clean * t[..., None] + np.float32(airlight) * (1 - t[..., None])


def tensor(values):
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).permute(2, 0, 1)[None]


def array(layer):
    return layer[0].permute(1, 2, 0).numpy()


def ramp(height=120, width=160, low=0.1, high=0.9):
    return np.broadcast_to(np.linspace(high, low, width, dtype=np.float32), (height, width))


def test_the_dark_channel_is_the_least_of_all_colours_in_a_window():
    values = np.random.default_rng(1).random((3, 20, 30), np.float32)
    found = dark_channel.dark_channel(values, 5)
    for row, column in [(0, 0), (10, 12), (19, 29), (2, 28)]:
        part = values[:, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        assert found[row, column] == part.min()


def test_the_guided_filter_is_its_definition_where_it_is_not_shrunk():
    generator = np.random.default_rng(2)
    guide, values = (
        generator.random((3, 40, 50), np.float32),
        generator.random((40, 50), np.float32),
    )
    grey, radius = guide.mean(axis=0), 3
    side = 2 * radius + 1

    def window(plane, row, column):
        spread = np.pad(plane, radius, mode="symmetric")
        return spread[row : row + side, column : column + side]

    gains, offsets = np.empty((2, 40, 50))
    for row in range(40):
        for column in range(50):
            g, v = window(grey, row, column), window(values, row, column)
            gains[row, column] = ((g * v).mean() - g.mean() * v.mean()) / (
                g.var() + dark_channel.GUIDE_EPS
            )
            offsets[row, column] = v.mean() - gains[row, column] * g.mean()
    row, column = 17, 23
    expected = window(gains, row, column).mean() * grey[row, column]
    expected += window(offsets, row, column).mean()
    found = dark_channel.guided(guide, values, radius)
    assert found[row, column] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("scales", "nearer_px", "gain"), [(1, 8, 8), (3, (8 + 15 + 30) / 3, 5)])
def test_haze_of_a_scene_with_dark_colours_is_removed_and_told(scales, nearer_px, gain):
    clean, t = scene(), ramp(low=0.0)
    picture = hazy(clean, t)
    found = solve(tensor(picture), omega=1.0, scales=scales)
    away = np.abs(array(found["transmission"])[..., 0] - t)
    assert np.median(away) < 0.03 + nearer_px / 160  # so far the windows see along the ramp
    np.testing.assert_allclose(array(found["airlight"])[0, 0], (0.8, 0.85, 0.9), atol=0.06)
    near = t[0] > 0.3
    results = picture, array(found["clean"])
    before, after = (np.square(result - clean)[:, near].mean() for result in results)
    assert after < before / gain


def test_omega_leaves_a_share_of_the_haze():
    picture = tensor(hazy(scene(), ramp()))
    low, high = (solve(picture, omega=omega)["transmission"].mean() for omega in (0.6, 0.95))
    assert low > high + 0.1


def test_a_flat_sky_is_not_amplified_and_is_said():
    clean, lines = scene(160, 160), []
    picture = hazy(clean, np.full((160, 160), 0.4, np.float32))
    generator = np.random.default_rng(3)
    picture[:80] = np.float32((0.8, 0.85, 0.9))
    picture[:80] += generator.normal(0, 0.01, (80, 160, 3))
    found = array(solve(tensor(picture), notify=lines.append)["clean"])
    noise = [float(values[:60].std(axis=(0, 1)).mean()) for values in (picture, found)]
    assert noise[1] < 2 * noise[0]
    assert len(lines) == 1
    assert "as bright as the haze, such as sky" in lines[0]
    without = array(solve(tensor(picture), tolerance=0.0)["clean"])
    assert without[:60].std(axis=(0, 1)).mean() > 2 * noise[1]


def test_a_picture_without_haze_hardly_changes_and_that_is_said():
    lines = []
    clean = scene()
    clean[:16, :16] = 0.9  # something white
    found = array(solve(tensor(clean), notify=lines.append)["clean"])
    assert np.abs(found - clean).mean() < 0.02
    assert lines == ["hardly any haze was found in it"]


def test_large_pictures_have_larger_windows():
    """The same scene, four times as large, comes out alike."""
    picture = hazy(scene(152, 200), ramp(152, 200))
    picture = cv2.resize(picture, (600, 450), interpolation=cv2.INTER_CUBIC)
    large = cv2.resize(picture, (2400, 1800), interpolation=cv2.INTER_CUBIC)
    one, other = (array(solve(tensor(p))["transmission"])[..., 0] for p in (picture, large))
    other = cv2.resize(other, (600, 450), interpolation=cv2.INTER_AREA)
    assert np.abs(one - other).mean() < 0.03
