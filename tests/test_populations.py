"""Streaks drawn from populations: what they share, and what does not change their amount."""

from __future__ import annotations

import pytest
import torch

from degradations.rain import Rain, streak_layer

ONE = {
    "dry": 0, "populations": (1, 1), "population_spread_rad": (1e-6, 1e-6), "angle_rad": (0.2, 0.2),
    "angle_spread_rad": (1e-6, 1e-6), "length_px": (40, 40), "length_spread": (0.4, 0.4),
    "width_px": (2, 2), "width_spread": (0.4, 0.4), "brightness": (0.1, 0.1),
    "brightness_spread": (0, 0), "coverage": (0.2, 0.2), "ceiling": (100, 100),
    "companions": (0, 0), "depth_share": (0, 0),
}  # fmt: skip
SIZE = 300


def drawn(batch=12, **changes):
    generator = torch.Generator().manual_seed(0)
    return Rain(**{**ONE, **changes}).sample((batch, 3, SIZE, SIZE), generator)


def correlation(params):
    logs = torch.stack([params.length_px[params.present], params.width_px[params.present]]).log()
    return torch.corrcoef(logs)[0, 1].item()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_depth_is_the_common_share_of_length_and_width(share):
    assert correlation(drawn(depth_share=(share, share))) == pytest.approx(share, abs=0.06)


def test_companions_do_not_change_the_light_of_the_rain():
    alone, many = (streak_layer(drawn(companions=(n, n)), SIZE, SIZE).mean().item() for n in (0, 4))
    assert many == pytest.approx(alone, rel=0.08)


def test_companions_lie_within_a_length_and_a_few_widths_of_one_another():
    def nearest(params):
        """Median distance of a streak to the nearest other, across the direction of fall."""
        found = []
        for row in range(len(params.x_px)):
            kept = params.present[row]
            x, y = params.x_px[row][kept], params.y_px[row][kept]
            angle = torch.tensor(0.2)
            across = x * angle.cos() - y * angle.sin()
            along = x * angle.sin() + y * angle.cos()
            gaps = (across[:, None] - across).abs() + 1e6 * torch.eye(len(x))
            gaps = gaps + 1e6 * ((along[:, None] - along).abs() > 60)
            found.append(gaps.min(dim=1).values)
        return torch.cat(found).median().item()

    thin = {"coverage": (0.03, 0.03)}
    assert nearest(drawn(companions=(4, 4), **thin)) < 2.5
    assert nearest(drawn(**thin)) > 5


def test_companions_are_as_many_as_said():
    few, many = (drawn(companions=(n, n), angle_spread_rad=(0, 0)) for n in (0, 3))
    count = [float(p.present.sum()) for p in (few, many)]
    assert count[1] == pytest.approx(count[0], rel=0.1)  # the coverage decides on the number
