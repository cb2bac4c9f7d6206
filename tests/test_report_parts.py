"""Parts of the page of `report`: pictures within its size, charts, settings in words."""

from __future__ import annotations

import re

import pytest
from pages import page_of
from picture_files import noise

from ssl_restore.errors import UserError
from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore.report import album, charts, page


def noisy(seed, side=64):
    return Picture(noise(side, side, 3, seed=seed))


def test_pictures_are_compressed_more_until_they_fit_and_then_left_out():
    alone = album.Album(1e9)
    alone.add({"a": noisy(0)})
    size = len(alone.uri(0, "a"))
    assert alone.quality == 95
    bounded = album.Album(2 * size)
    taken = [bounded.add({"a": noisy(seed)}) for seed in range(9)]
    assert taken == sorted(taken, reverse=True)
    assert 2 < sum(taken) < 9
    assert bounded.quality == 80
    assert sum(len(bounded.uri(n, "a")) for n in range(sum(taken))) < 2 * size + 100 * sum(taken)
    with pytest.raises(UserError, match="max_mb: a page with one of these"):
        album.Album(size / 10).add({"a": noisy(0)})


def test_a_page_is_no_larger_than_it_may_be_and_says_what_is_left_out(tmp_path):
    out = tmp_path / "report.html"
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            images.write(tmp_path / folder / f"{index}.png", noisy(index, 256))
    page = page_of(tmp_path / "after", out, "--degraded", tmp_path / "before", "--max-mb", 1)
    assert out.stat().st_size <= 1e6
    shown = len(page.all("article"))
    assert 0 < shown < 3
    assert f"{3 - shown} more pictures would make this page larger than 1 MB." in page.texts("li")


def test_a_chart_goes_through_its_values():
    one = charts.chart("restore", [(0, 4.0), (10, 2.0), (20, 0.0)])
    right, bottom = charts.WIDTH - charts.RIGHT, charts.HEIGHT - charts.BOTTOM
    middle = (charts.LEFT + right) / 2, (charts.TOP + bottom) / 2
    assert one.dots == ((charts.LEFT, charts.TOP), middle, (right, bottom))
    assert one.line == f"M52.0 8.0L{middle[0]:.1f} {middle[1]:.1f}L312.0 128.0"
    assert one.band == ""
    assert one.text == "4 at step 0, 0 at step 20"


def test_of_many_rows_a_chart_has_medians_in_a_band():
    one = charts.chart("restore", [(step, float(step % 10)) for step in range(5000)])
    assert one.line.count("L") == charts.POINTS - 1
    places = [float(part.split()[1]) for part in re.split("[ML]", one.band.rstrip("Z"))[1:]]
    assert (min(places), max(places)) == (charts.TOP, charts.HEIGHT - charts.BOTTOM)
    assert one.dots == ()


def test_a_chart_of_one_value_and_of_none():
    one = charts.chart("rain_left", [(5, 0.25)])
    assert len(one.dots) == 1
    assert one.text == "0.25 at step 5"
    assert charts.chart("rain_left", [(5, float("nan"))]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (0.1 + 0.2, "0.3"), ([1, 2.5], "1, 2.5"), ("", "none"), (None, "none"),
     ("/home/ann/rain layers", "rain layers"), ("rain.json", "rain.json"), ({"a": 1}, "a 1")],
)  # fmt: skip
def test_settings_are_legible_and_paths_say_no_more_than_a_name(value, text):
    assert page.shown(value) == text
