"""Tiles give what the whole picture gives, for any size, type and tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import pixels, random_restorer

from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore, spans, tile_sides
from ssl_restore.inference.wrappers import SelfEnsemble, turn, turn_back, with_quality
from ssl_restore.io import images
from ssl_restore.restorer import SQUARE

RESTORER = random_restorer()


def restored(picture, tile, restorer=RESTORER):
    return restore(restorer, picture, tile=tile, precision="fp32")


def assert_equal_but_for_rounding(one, other):
    """Equal before rounding to within 1e-5: at most one step of 16 bits, or a rare one of 8."""
    difference = np.abs(one.astype(int) - other.astype(int))
    assert difference.max(initial=0) <= 1
    if one.dtype == np.uint8:
        assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("tile", [4, 8, 36, 64])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 5), (64, 64), (131, 97)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles_equal_the_whole_picture(size, tile, dtype):
    tile = max(tile, 36) if size[0] > 100 else tile  # hundreds of tiles show nothing more
    picture = pixels(*size, dtype=dtype)
    whole = restored(picture, 0)
    assert_equal_but_for_rounding(restored(picture, tile), whole)


def test_tiles_of_the_three_level_network_equal_the_whole_picture():
    restorer = random_restorer(blocks=(2, 2, 2))
    picture = pixels(131, 217, dtype=np.uint16)
    assert_equal_but_for_rounding(restored(picture, 40, restorer), restored(picture, 0, restorer))


def test_tiles_of_grey_equal_the_whole_grey():
    picture = pixels(50, 70, channels=1, dtype=np.uint16)
    whole = restored(picture, 0)
    assert whole.shape == (50, 70, 1)
    assert_equal_but_for_rounding(restored(picture, 16), whole)


def test_the_restorer_of_these_tests_changes_pictures():
    picture = pixels(64, 64)
    assert np.abs(restored(picture, 0).astype(int) - picture).mean() > 5


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 50)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_restorer_that_finds_no_rain_returns_the_pixels(size, dtype):
    picture = pixels(*size, dtype=dtype)
    assert np.array_equal(restored(picture, 8, random_restorer(strength=0.0)), picture)


def test_tiles_without_their_margin_differ():
    restorer = random_restorer()
    picture = pixels(64, 96)
    whole = restored(picture, 0, restorer)
    restorer.reach = 0
    assert np.abs(restored(picture, 16, restorer).astype(int) - whole).max() > 8


@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (1, 1, 1), (2, 2, 2)])
def test_an_output_pixel_sees_nothing_beyond_the_reach(blocks):
    restorer = random_restorer(blocks=blocks).double()
    stride, reach = restorer.stride, restorer.reach
    side = (2 * reach // stride + 4) * stride
    image = torch.rand(1, 3, side, side, dtype=torch.float64)
    middle = side // stride // 2 * stride
    for row, column in [(0, 0), (stride - 1, stride - 1), (1, stride // 2)]:
        y, x = middle + row, middle + column
        other = torch.rand_like(image)
        window = (slice(None), slice(None), slice(y - reach, y + reach + 1),
                  slice(x - reach, x + reach + 1))  # fmt: skip
        other[window] = image[window]
        with torch.inference_mode():
            here, there = restorer(image)[..., y, x], restorer(other)[..., y, x]
        torch.testing.assert_close(here, there, rtol=0, atol=1e-12)


def test_an_output_pixel_sees_more_than_half_the_reach():
    restorer = random_restorer().double()
    image = torch.rand(1, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    restorer(image)[0, 0, 64, 64].backward()
    seen = image.grad[0].abs().amax(dim=0).nonzero() - 64
    assert seen.abs().max() > restorer.reach / 2


def test_done_counts_every_pixel_once():
    counts = []
    restore(RESTORER, pixels(50, 70), tile=16, progress=counts.append)
    assert sum(counts) == 50 * 70
    assert len(counts) == 4 * 5


def test_a_tile_smaller_than_the_stride_is_refused():
    with pytest.raises(UserError, match="tile: 3 is too small; at least 4"):
        restored(pixels(16, 16), 3)


def test_a_diverged_restorer_is_refused():
    restorer = random_restorer()
    with torch.no_grad():
        restorer.decoder.head.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN"):
        restored(pixels(16, 16), None, restorer)


@pytest.mark.parametrize("size", [(1, 1), (480, 320), (3000, 4000), (40_000, 90), (90, 40_000)])
def test_chosen_tiles_with_margin_stay_under_the_limit(size):
    height, width = size
    rows, columns = tile_sides(height, width, None, 64, 8)
    assert min(rows + 128, height) * min(columns + 128, width) <= 2_600_000
    assert rows == height or rows % 8 == 0
    assert columns == width or columns % 8 == 0


def test_spans_cover_a_side_once():
    assert [i for part in spans(23, 8) for i in range(part.start, part.stop)] == list(range(23))


def test_pixels_survive_the_way_to_a_tensor_and_back():
    for dtype in (np.uint8, np.uint16):
        picture = pixels(20, 30, dtype=dtype)
        assert np.array_equal(images.to_pixels(images.to_tensor(picture), picture), picture)


def test_folded_norms_change_no_pixel():
    restorer = random_restorer()
    folded = restorer.folded()
    assert not any(isinstance(block.norm2, torch.nn.BatchNorm2d) for block in blocks_of(folded))
    image = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert (restorer(image) - image).abs().max() > 1e-3
        torch.testing.assert_close(folded(image), restorer(image), rtol=0, atol=1e-5)


def blocks_of(restorer):
    return [block for block in restorer.modules() if hasattr(block, "norm2")]


@pytest.mark.parametrize("position", range(8))
def test_turning_back_undoes_turning(position):
    image = torch.rand(1, 3, 4, 6)
    assert torch.equal(turn_back(turn(image, position), position), image)


def test_eight_positions_are_all_different():
    image = torch.rand(1, 3, 5, 5)
    seen = [turn(image, position) for position in range(8)]
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_ensemble_is_the_mean_over_the_positions_and_does_not_care_how_a_picture_lies():
    restorer, image = random_restorer(), torch.rand(1, 3, 16, 24)
    restorer.symmetry = SQUARE
    ensemble = SelfEnsemble(restorer).eval()
    with torch.no_grad():
        expected = sum(turn_back(restorer(turn(image, p)), p) for p in range(8)) / 8
        torch.testing.assert_close(ensemble(image), expected)
        torch.testing.assert_close(ensemble(turn(image, 5)), turn(ensemble(image), 5))


@pytest.mark.parametrize("size", [(70, 88), (33, 64)])  # other widths are continued, to the right
def test_the_best_quality_of_a_derainer_is_the_mean_of_it_and_its_mirror_image(size):
    picture = pixels(*size, dtype=np.uint16) // 3 + 20_000  # nothing is cut off
    ensemble = with_quality(RESTORER, "best")
    mirrored = restored(picture[:, ::-1].copy(), 0)[:, ::-1].astype(int)
    expected = (restored(picture, 0).astype(int) + mirrored) / 2
    found = restored(picture, 0, ensemble)
    assert np.abs(found - expected).max() <= 1
    assert_equal_but_for_rounding(restored(picture, 36, ensemble), found)


@pytest.mark.parametrize("quality", ["good", "fast"])
def test_less_than_the_best_quality_is_the_restorer_itself(quality):
    assert with_quality(RESTORER, quality) is RESTORER
