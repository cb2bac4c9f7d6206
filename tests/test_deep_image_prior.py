"""Deep image prior: degradations, masks and sizes, and the rule that stops it."""

from __future__ import annotations

import pytest
import torch

from degradations import BlurParams, ResampleParams, blur, resample
from ssl_restore import rng
from ssl_restore.errors import UserError
from ssl_restore.solvers import deep_image_prior as prior
from ssl_restore.solvers.early_stopping import LeastError, held_out

QUICK = {"steps": 2, "width": 8, "precision": "fp32"}


def solve(image, seed=0, **settings):
    return prior.solve(image, generator=rng.derive(seed, "solve"), **(QUICK | settings))["clean"]


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def waves(height=48, width=48):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (0.5 + 0.3 * (rows / 7).sin() * (columns / 9).cos()).expand(1, 3, height, width).clone()


def every_second(height, width, seed=0):
    """(1, 1, H, W), True where a pixel is known."""
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed)) < 0.5


def mse(one, other):
    return float((one - other).square().mean())


def test_distance_is_the_mean_over_the_chosen_pixels_of_what_the_degradation_makes():
    drawn, picture = torch.rand(1, 3, 8, 6), torch.rand(1, 3, 4, 3)
    chosen = every_second(4, 3)
    seen = prior.Observed(picture, chosen, lambda x: x[..., ::2, ::2], 2)
    total = [
        float(drawn[0, c, 2 * i, 2 * j] - picture[0, c, i, j]) ** 2
        for c in range(3)
        for i in range(4)
        for j in range(3)
        if chosen[0, 0, i, j]
    ]
    assert float(seen.distance(drawn, chosen)) == pytest.approx(sum(total) / len(total), rel=1e-5)
    assert seen.drawn == (8, 6)


def test_degradation_is_given_float32_and_its_gradient_reaches_the_network():
    kinds, weight = [], torch.ones((), requires_grad=True)

    def darker(x):
        kinds.append((x.dtype, tuple(x.shape), (x.mean(dim=(2, 3)) @ torch.ones(3, 1)).dtype))
        return weight * x

    solve(waves(20, 40), degrade=darker, precision="bf16")
    assert len(kinds) > 2
    assert set(kinds) == {(torch.float32, (1, 3, 20, 40), torch.float32)}
    assert weight.grad.abs() > 0


def test_a_known_degradation_is_undone():
    params = BlurParams(torch.tensor([1.0]), *torch.zeros(3, 1))
    clean = waves(32, 32)

    def degrade(x):
        return blur(0.2 + 0.5 * x, params)

    found = solve(degrade(clean), steps=100, width=16, degrade=degrade)
    assert mse(found, clean) < 0.1 * mse(degrade(clean), clean)


def test_lost_pixels_are_filled_and_known_ones_kept_to_the_bit():
    clean, known = waves(), every_second(48, 48)
    found = solve(clean.where(known, torch.tensor(0.0)), mask=known, steps=150, width=16)
    assert torch.equal(found[known.expand_as(found)], clean[known.expand_as(clean)])
    assert mse(found, clean) < 1e-3


@pytest.mark.parametrize("kind", [torch.bool, torch.float32, torch.uint8])
@pytest.mark.parametrize("channels", [1, 3])
def test_masks_of_every_kind_mean_the_same(kind, channels):
    image, known = waves(40, 33), every_second(40, 33)
    found = solve(image * known, mask=known.expand(1, channels, -1, -1).to(kind))
    assert torch.equal(found, solve(image * known, mask=known))


def test_what_stands_in_lost_pixels_does_not_matter():
    image, known = waves(40, 33), every_second(40, 33)
    values = torch.tensor((0.0, 1.0, torch.nan))
    black, *others = (solve(image.where(known, value), mask=known) for value in values)
    assert all(torch.equal(black, other) for other in others)


def test_super_resolution_has_so_many_times_the_pixels_and_is_the_picture_when_made_small():
    params = ResampleParams(torch.ones(1), 3)
    small = resample(waves(48, 63), params)
    assert solve(small, scale=3).shape == (1, 3, 48, 63)
    found = solve(small, scale=3, steps=80, width=16)
    assert mse(resample(found, params), small) < 3e-3
    own = solve(small, scale=3, degrade=lambda x: resample(x, params))
    assert torch.equal(own, solve(small, scale=3))


@pytest.mark.parametrize("settings", [{}, {"mask": True}, {"scale": 2}, {"degrade": torch.sin}])
def test_the_same_seed_gives_the_same_bits_and_another_one_not(settings):
    image = waves(33, 40)
    given = settings | ({"mask": every_second(33, 40)} if "mask" in settings else {})
    one, again, other = (solve(image, seed, **given) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_pieces_are_alike_and_masks_are_cut_as_pictures_are(monkeypatch):
    monkeypatch.setattr(prior, "PIECE_PX", 32)
    seen, shares = [], []

    def draw(part, *arguments):
        seen.append(part)
        return part.picture

    monkeypatch.setattr(prior, "_draw", draw)
    image = noise(1, 3, 70, 40)
    torch.testing.assert_close(solve(image, progress=shares.append), image)
    assert [part.drawn for part in seen] == [
        (40, 36), (40, 36), (56, 36), (56, 36), (38, 36), (38, 36),
    ]  # fmt: skip
    assert shares[-1] == 1
    seen.clear()
    known = image[:, :1] < 1.5
    known[..., 48:, 20:] = True
    solve(image, mask=known)
    assert len(seen) == 5  # nothing is lost in the last one
    lost = image.where(known, torch.tensor(0.0))
    assert torch.equal(seen[0].known, known[..., :40, :36])
    assert torch.equal(seen[0].picture, lost[..., :40, :36])


def test_pieces_fade_into_each_other(monkeypatch):
    monkeypatch.setattr(prior, "PIECE_PX", 64)
    levels = iter((0.0, 1.0))
    monkeypatch.setattr(
        prior, "_draw", lambda part, *arguments: torch.full_like(part.picture, next(levels))
    )
    row = solve(waves(8, 128))[0, 0, 0]
    assert row[:48].max() == 0
    assert row[80:].min() == 1
    torch.testing.assert_close(row[48:80], (torch.arange(32) + 0.5) / 32)


def test_a_picture_without_a_lost_pixel_comes_back():
    image = waves(10, 12)
    assert torch.equal(solve(image, mask=torch.ones(1, 1, 10, 12)), image)


def of(error, *, memory=20, patience=100):
    return LeastError(error, memory, patience)


def test_the_average_is_kept_where_the_held_out_error_is_least():
    """The outputs come to the truth within 60 steps, from 200 on they have noise of their own."""
    truth, known = waves(32, 32), torch.ones(1, 1, 32, 32).bool()
    noisy, aside = truth + 0.1 * noise(1, 3, 32, 32), held_out(known, torch.Generator())
    seen, steps = prior.Observed(noisy, known), 0
    stopping = of(lambda mean: float(seen.distance(mean, aside)))
    for step in range(1000):
        fitted = truth * (1 - 0.9 ** (step + 1))
        wrong = max(0.0, (step - 200) / 1000) * noise(1, 3, 32, 32, seed=2)
        over = stopping.over(fitted + wrong + 0.05 * noise(1, 3, 32, 32, seed=step))
        steps = step + 1
        if over:
            break
    assert 150 < steps < 500
    assert mse(stopping.best, truth) < 0.02 * mse(noisy, truth)


def test_an_error_that_falls_all_the_time_never_stops_it():
    falling = iter(range(1000, 0, -1))
    stopping = of(lambda mean: float(next(falling)), patience=5)
    outputs = [torch.full((1, 3, 2, 2), float(step)) for step in range(50)]
    assert not any(stopping.over(output) for output in outputs)
    assert torch.equal(stopping.best, stopping.mean)


def test_an_error_that_only_rises_stops_it_after_its_patience_with_the_first_output():
    rising = iter(range(1000))
    stopping = of(lambda mean: float(next(rising)), patience=5)
    outputs = [torch.full((1, 3, 2, 2), float(step)) for step in range(50)]
    assert [stopping.over(output) for output in outputs[:7]] == [False] * 6 + [True]
    assert torch.equal(stopping.best, outputs[0])


def test_few_pixels_are_held_out_and_none_of_a_tiny_picture():
    def share(side):
        known = torch.ones(1, 1, side, side, dtype=torch.bool)
        return float(held_out(known, torch.Generator()).float().mean())

    assert share(31) == 0
    assert share(100) == pytest.approx(0.03, abs=0.005)
    assert share(400) == pytest.approx(1000 / 400**2, rel=0.1)
    half = every_second(100, 100)
    assert not (held_out(half, torch.Generator()) & ~half).any()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mask": torch.ones(1, 1, 9, 12)}, r"mask: the shape \(1, 1 or 3, 10, 12\) of the image"),
        ({"mask": torch.ones(10, 12)}, r"mask: .*got \(10, 12\)"),
        ({"mask": torch.zeros(1, 1, 10, 12)}, "mask: 1 where the image is known .* 0 everywhere"),
        ({"scale": 0}, "scale: at least 1 is expected, got 0"),
        ({"degrade": lambda x: x[..., :5, :]}, r"degrade: .* but makes \(1, 3, 5, 12\)"),
        ({"degrade": lambda x: x, "scale": 2}, r"degrade: .*`scale`=2"),
        ({"degrade": lambda x: x.detach()}, "degrade: what it makes has no gradient"),
        ({"scale": 1000}, "image: with `degrade` or `scale` .* 1.0 Mpixel; 12000 x 10000"),
        ({"seconds": 1e-9, "steps": 9}, "a step takes .* s, hundreds are needed, and `seconds` le"),
    ],
)
def test_what_does_not_fit_is_said(settings, said):
    with pytest.raises(UserError, match=said):
        solve(waves(10, 12), **settings)


def test_a_piece_without_a_known_pixel_is_refused_before_anything_is_drawn(monkeypatch):
    monkeypatch.setattr(prior, "PIECE_PX", 32)
    monkeypatch.setattr(prior, "MARGIN_PX", 4)
    known = torch.ones(1, 1, 96, 32)
    known[..., 50:, :] = 0
    shares = []
    with pytest.raises(UserError, match="mask: 32 x 36 px together have no known pixel"):
        solve(waves(96, 32), mask=known, progress=shares.append)
    assert shares == []
