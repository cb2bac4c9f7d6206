"""`ssl-restore report`: what is on the page, that it needs nothing else, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil

import numpy as np
import pytest
from deraining import derain, truncate
from pages import NOTHING, copied, error, evaluated, folder_of, page_of, refused, report
from picture_files import noise
from tiny import pixels, save_restorer, write_photo

from ssl_restore.io import images, manifest
from ssl_restore.io.manifest import Manifest
from ssl_restore.io.picture import Picture


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`rainy/`, `clean/`, `restored/` by a tiny restorer, and `rain/`, what it took."""
    folder = tmp_path_factory.mktemp("made")
    tiny = save_restorer(folder / "tiny.safetensors")
    for index, name in enumerate("abc"):
        write_photo(folder / "rainy" / f"{name}.png", 64, 80, seed=index)
        write_photo(folder / "clean" / f"{name}.png", 64, 80, seed=index + 10)
    arguments = (folder / "rainy", folder / "restored", "--layers", folder / "rain")
    assert derain(*arguments, "--weights", tiny, "--strength", 0.9).exit_code == 0
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "report.html"


# --- a folder of results -------------------------------------------------------------------------


def test_the_manifest_says_what_the_results_were_before(made, out):
    page = page_of(made / "restored", out)
    assert page.texts("h1") == ["restored"]
    assert page.texts("h3") == [f"{name} 80 × 64" for name in "abc"]
    before, after = (
        images.read(made / folder / "b.png").pixels for folder in ("rainy", "restored")
    )
    shown = page.picture("b, before"), page.picture("b, after")
    assert error(shown[0], before) < 5 < error(shown[0], after)
    assert error(shown[1], after) < 5 < error(shown[1], before)
    settings = page.table("Settings")
    assert settings["command"] == ["derain"]
    assert settings["strength"] == ["0.9"]
    assert settings["pictures"] == ["3"]
    assert "torch" in page.table("Software")


def test_truths_and_layers_are_views_of_a_picture(made, out):
    page = page_of(
        made / "restored", out, "--clean", made / "clean", "--layers", made / "rain", "--limit", 1
    )
    views = page.texts("label")
    assert views[:6] == ["slider", "before", "after", "difference × 4", "truth", "rain"]
    for folder, view in (("clean", "truth"), ("rain", "rain")):
        assert error(page.picture(f"a, {view}"), images.read(made / folder / "a.png").pixels) < 5


def test_scores_are_those_of_evaluate(made, out):
    page = page_of(made / "restored", out, "--clean", made / "clean")
    folders = ("--restored", made / "restored")
    for caption, arguments in (
        ("Against the truth", (made / "rainy", made / "clean", *folders)),
        ("Without a truth", (made / "rainy", *folders)),
    ):
        expected = evaluated(*arguments)
        assert list(expected) == ["input", "opening 1x5", "restored"]
        means = page.table(caption)
        assert means == {m: [NOTHING.get(v, v) for v in row] for m, row in expected.items()}


def test_a_folder_without_a_manifest_needs_the_pictures_before(made, tmp_path, out):
    plain = copied(made / "restored", tmp_path)
    (plain / manifest.NAME).unlink()
    result = report(plain, "-o", out)
    assert result.exit_code == 1
    assert "--degraded" in result.stderr
    page = page_of(plain, out, "--degraded", made / "rainy", "--task", "derain")
    assert len(page.all("article")) == 3
    assert "rain left" in page.texts("th", scope="col")


def test_both_folders_may_be_moved_and_a_changed_source_is_not_shown(made, tmp_path, out):
    moved = tmp_path / "moved"
    for name in ("rainy", "restored"):
        shutil.copytree(made / name, moved / name)
    write_photo(moved / "rainy" / "b.png", 32, 20)
    page = page_of(moved / "restored", out)
    assert page.texts("h3") == ["a 80 × 64", "c 80 × 64"]
    assert any("Left out are 1 picture" in note for note in page.texts("li"))


def test_the_pictures_are_spread_over_the_folder(made, out):
    page = page_of(made / "restored", out, "--limit", 2)
    assert page.texts("h3") == ["a 80 × 64", "b 80 × 64"]
    assert "Shown are 2 of 3 pictures" in page.texts("li")[0]


def test_an_enlarged_picture_is_shown_in_its_own_size(tmp_path, out):
    write_photo(tmp_path / "small" / "a.png", 24, 32)
    write_photo(tmp_path / "large" / "a.png", 48, 64)
    page = page_of(tmp_path / "large", out, "--degraded", tmp_path / "small", "--task", "upscale")
    assert page.texts("h3") == ["a 64 × 48"]
    assert page.picture("a, before").shape == (24, 32, 3)


def test_grey_and_16_bits_are_shown(tmp_path, out):
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        deep = pixels(64, 64, channels=1, dtype=np.uint16)
        images.write(tmp_path / folder / "a.png", Picture(deep))
    page = page_of(tmp_path / "after", out, "--degraded", tmp_path / "before")
    assert error(page.picture("a, after"), deep[..., 0] / 257) < 5


def test_ten_bits_are_shown_and_scored_as_eight(made, tmp_path, out):
    ten = pixels(64, 80, dtype=np.uint16) // 64
    folders = [folder_of(tmp_path / name, ten) for name in ("before", "after", "layer")]
    call = ("--degraded", folders[0], "--task", "derain", "--clean", folders[1])
    page = page_of(folders[1], out, *call, "--layers", folders[2])
    for view in ("before", "after", "truth", "layer"):
        assert error(page.picture(f"a, {view}"), ten / 4) < 5
    assert page.table("Against the truth")["restored"][0] == "same"


def test_a_truth_of_eight_bits_beside_ten_is_in_its_own_range(tmp_path, out):
    eight = pixels(64, 80)
    ten = folder_of(tmp_path / "before", eight.astype(np.uint16) * 4)
    truth = folder_of(tmp_path / "truth", eight)
    page = page_of(ten, out, "--degraded", ten, "--clean", truth)
    assert float(page.table("Against the truth")["restored"][0]) > 40
    assert error(page.picture("a, truth"), eight) < 5


def test_a_picture_too_long_for_a_page_is_named_and_the_others_are_shown(made, tmp_path, out):
    for name in ("rainy", "restored"):
        shutil.copytree(made / name, tmp_path / name)
        images.write(tmp_path / name / "b.png", Picture(noise(12, 65_501, 1)))
    result = report(tmp_path / "restored", "-o", out, "--degraded", tmp_path / "rainy")
    assert result.exit_code == 1
    assert "b.png: before, it is 65501 x 12" in result.stderr
    assert out.read_text().count("<article") == 2


# --- the page itself -----------------------------------------------------------------------------


def test_the_page_holds_all_that_it_shows(made, out):
    page = page_of(made / "restored", out, "--layers", made / "rain")
    for _, attributes, _ in page.elements:
        for name in {"src", "href", "srcset", "action", "poster", "data", "formaction"} & {
            *attributes
        }:
            assert attributes[name].startswith("data:")
    text = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", out.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|url\(|@import|import\(|fetch\(|XMLHttp|WebSocket", text)
    assert str(made) not in text


def test_its_policy_allows_its_own_style_and_script_alone(made, out):
    page = page_of(made / "restored", out)
    ((_, policy, _),) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        ((_, _, text),) = page.all(tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert not any("style" in e[1] or any(n.startswith("on") for n in e[1]) for e in page.elements)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<%2Fscript>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}&amp;"]
)
def test_names_of_files_are_text(tmp_path, out, name):
    for folder in ("before", "after", name):
        write_photo(tmp_path / folder / f"{name}.png", 64, 64)
    page = page_of(
        tmp_path / "after", out, "--degraded", tmp_path / "before", "--layers", tmp_path / name
    )
    assert page.texts("h3") == [f"{name} 64 × 64"]
    assert name in page.texts("label")
    assert len(page.all("script")) == 1
    assert not any("onerror" in attributes for _, attributes, _ in page.elements)


def test_a_name_that_is_no_text_is_shown(tmp_path, out):
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        source = write_photo(tmp_path / "a.png", 64, 64)
        source.rename(tmp_path / folder / "caf\udce9.png")
    page = page_of(tmp_path / "after", out, "--degraded", tmp_path / "before")
    assert page.texts("h3") == ["caf? 64 × 64"]


def test_every_control_has_a_name(made, out):
    page = page_of(made / "restored", out)
    assert all(attributes["alt"] for _, attributes, _ in page.all("img"))
    buttons = page.all("button")
    assert buttons
    assert all(attributes.get("aria-label") or text.strip() for _, attributes, text in buttons)
    labels = [text for text in page.texts("label") if text]
    assert len(labels) == len(page.all("input"))
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = [e[1]["aria-labelledby"] for e in page.elements if "aria-labelledby" in e[1]]
    assert set(labelled) <= set(ids)


# --- what is refused -----------------------------------------------------------------------------


def test_a_folder_without_pictures_or_that_is_none(tmp_path, out):
    assert "no such folder" in refused(tmp_path / "none", "-o", out)
    (tmp_path / "empty").mkdir()
    assert "no picture in it" in refused(tmp_path / "empty", "-o", out)
    assert "is a file" in refused(write_photo(tmp_path / "a.png"), "-o", out)
    assert not out.exists()


def test_an_output_that_exists_or_is_no_page(made, tmp_path, out):
    out.write_text("mine")
    assert "--overwrite" in refused(made / "restored", "-o", out)
    assert out.read_text() == "mine"
    assert ".html" in refused(made / "restored", "-o", tmp_path / "report.png")
    assert "does not exist" in refused(made / "restored", "-o", tmp_path / "no" / "a.html")
    page_of(made / "restored", out, "--overwrite", "--limit", 1)


def test_a_damaged_picture_is_named_and_the_others_are_shown(made, tmp_path, out):
    for name in ("rainy", "restored"):
        shutil.copytree(made / name, tmp_path / name)
    truncate(tmp_path / "restored" / "a.png")
    write_photo(tmp_path / "rainy" / "b.png", 30, 20)
    result = report(tmp_path / "restored", "-o", out, "--degraded", tmp_path / "rainy")
    assert result.exit_code == 1
    assert "a.png: damaged" in result.stderr
    assert "b.png: 80 x 64, but" in result.stderr
    assert "2 pictures are not on the page" in result.stderr
    text = out.read_text()
    assert text.count("<article") == 1


def test_pictures_that_can_none_be_used(made, tmp_path, out):
    broken = copied(made / "restored", tmp_path)
    for path in broken.glob("*.png"):
        truncate(path)
    line = refused(broken, "-o", out, "--degraded", made / "rainy")
    assert "none of the pictures could be used" in line
    assert "a.png" in line


def test_an_unknown_task_and_a_page_that_is_too_small(made, tmp_path, out):
    assert "unknown task" in refused(made / "restored", "-o", out, "--task", "rain")
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        images.write(tmp_path / folder / "0.png", Picture(noise(700, 700, 3)))
    line = refused(tmp_path / "after", "-o", out, "--degraded", tmp_path / "before", "--max-mb", 1)
    assert "--max-mb" in line


# --- the manifest -------------------------------------------------------------------------------


def test_a_manifest_knows_where_a_result_came_from(made, tmp_path):
    book = Manifest(made / "restored", {})
    origin = book.origin(made / "restored" / "a.png")
    assert origin.source.samefile(made / "rainy" / "a.png")
    assert origin.settings["command"] == "derain"
    lines = (made / "restored" / manifest.NAME).read_text().splitlines()
    assert not any(str(made) in line for line in lines)
    assert book.origin(made / "restored" / "none.png") is None
    old = copied(made / "restored", tmp_path)
    text = "\n".join(re.sub(r', "path": "[^"]*"', "", line) for line in lines)
    (old / manifest.NAME).write_text(text)
    assert Manifest(old, {}).origin(old / "a.png").source is None
