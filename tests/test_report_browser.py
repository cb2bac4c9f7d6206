"""The page of `report` in headless Chromium: by mouse, touch and keyboard, large, small and dark.

It takes the extra `browser` and a Chromium of the system, and is skipped without.
"""

from __future__ import annotations

import base64
import io
import shutil

import numpy as np
import pytest
from pages import page_of
from PIL import Image

from ssl_restore.io import images
from ssl_restore.io.picture import Picture

playwright = pytest.importorskip(
    "playwright.sync_api", reason="drives a browser: needs the extra `browser`"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
WIDTH, HEIGHT = 400, 300
BEFORE, AFTER, LAYER = (200, 40, 40), (40, 40, 200), (40, 160, 40)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A page with a red picture before, a blue one after, and a green layer; and one of noise."""
    folder = tmp_path_factory.mktemp("page")
    colours = {"before": BEFORE, "after": AFTER, "layer": LAYER}
    for seed, (name, colour) in enumerate(colours.items()):
        (folder / name).mkdir()
        plain = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
        images.write(folder / name / "a.png", Picture(plain))
        noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        images.write(folder / name / "b <script>.png", Picture(noise))
    page_of(folder / "after", folder / "report.html", "--degraded", folder / "before",
            "--layers", folder / "layer")  # fmt: skip
    return folder / "report.html"


@pytest.fixture
def opened(browser, page_file):
    """`opened(**options of a context)`: the page; what it says or asks for fails the test."""
    contexts, said, asked = [], [], []

    def show(**options):
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)  # ms, on a busy machine
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {page_file.as_uri()}


def screenshot(element):
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(int)


def is_near(pixels, colour):
    return np.abs(pixels - np.array(colour)).max(axis=-1) < 12


def boundary(picture):
    """Share of the width, at three quarters of the height, that shows the picture before; it lies
    left of the line, and what is after right of it."""
    row = screenshot(picture.locator(".stage"))[-60]
    before, after = is_near(row, BEFORE), is_near(row, AFTER)
    inside = np.flatnonzero(before | after)
    assert len(inside) > 0.9 * len(row[inside[0] : inside[-1] + 1])  # all but the line
    end = np.flatnonzero(before).max(initial=inside[0])
    start = np.flatnonzero(after).min(initial=inside[-1])
    assert end <= start
    return ((end + start) / 2 - inside[0]) / (inside[-1] - inside[0])


def test_the_slider_moves_by_keys_mouse_and_clicks(opened):
    picture = opened().locator("article").first
    slider = picture.get_by_role("slider")
    assert boundary(picture) == pytest.approx(0.5, abs=0.01)
    slider.focus()
    for _ in range(60):
        slider.press("ArrowRight")
    assert boundary(picture) == pytest.approx(0.8, abs=0.01)
    slider.press("Home")
    assert boundary(picture) < 0.03
    box, sheet = (picture.locator(s).bounding_box() for s in (".line", ".sheet"))
    mouse = picture.page.mouse
    mouse.move(box["x"] + box["width"] / 2 + 5, box["y"] + 30)
    mouse.down()
    mouse.move(sheet["x"] + 0.3 * sheet["width"], box["y"] + 50, steps=3)
    mouse.up()
    assert boundary(picture) == pytest.approx(0.3, abs=0.01)
    mouse.click(sheet["x"] + 0.6 * sheet["width"], box["y"] + 50)
    assert boundary(picture) == pytest.approx(0.6, abs=0.01)


def test_each_view_shows_its_picture(opened):
    picture = opened().locator("article").first
    difference = np.abs(np.array(BEFORE) - AFTER) * 4
    views = {
        "before": BEFORE, "after": AFTER, "layer": LAYER,
        "difference × 4": difference.clip(0, 255),
    }  # fmt: skip
    for name, colour in views.items():
        picture.get_by_role("radio", name=name, exact=True).check(force=True)
        shown = screenshot(picture.locator(".stage"))
        assert is_near(shown[100:200, 300:600], colour).all(), name
    picture.get_by_role("radio", name="layer", exact=True).press("ArrowLeft")
    assert picture.get_by_role("radio", name="difference").is_checked()
    picture.get_by_role("radio", name="slider").check(force=True)
    assert boundary(picture) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("density", [1, 2])
def test_at_100_percent_each_pixel_is_one_of_the_screen(opened, density):
    picture = opened(device_scale_factor=density).locator("article").nth(1)
    picture.get_by_role("radio", name="after", exact=True).check(force=True)
    picture.get_by_role("button", name="100 %").click()
    source = picture.locator("img.after").get_attribute("src").split(",")[1]
    expected = np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))).astype(int)
    shown = screenshot(picture.locator(".sheet"))  # with a margin, where it begins within a pixel
    places = np.ndindex(shown.shape[0] - 39, shown.shape[1] - 59)
    errors = [np.abs(shown[y : y + 40, x : x + 60] - expected).max() for y, x in places]
    assert min(errors) <= 3


def test_zoom_by_keys_and_double_click_and_the_line_stays_in_view(opened):
    picture = opened().locator("article").first
    stage, output = picture.locator(".stage"), picture.locator("output")
    stage.focus()
    stage.press("1")
    assert output.inner_text() == "100 %"
    for _ in range(5):
        stage.press("+")
    assert output.inner_text() == "759 %"
    sheet, visible = picture.locator(".sheet").bounding_box(), stage.bounding_box()
    assert sheet["width"] > 3 * visible["width"]
    assert boundary(picture) == pytest.approx(0.5, abs=0.01)
    stage.evaluate("stage => { stage.scrollLeft = 0; }")
    assert boundary(picture) == pytest.approx(0.5, abs=0.01)
    mouse = picture.page.mouse
    mouse.move(visible["x"] + 700, visible["y"] + 200)
    mouse.down()
    mouse.move(visible["x"] + 600, visible["y"] + 150, steps=2)
    mouse.up()
    assert stage.evaluate("stage => [stage.scrollLeft, stage.scrollTop > 0]") == [100, True]
    stage.press("0")
    assert picture.locator(".sheet").bounding_box()["width"] <= visible["width"]
    picture.locator(".frame").dblclick(position={"x": 300, "y": 100})
    assert picture.locator(".sheet").bounding_box()["width"] > visible["width"]


def test_on_a_phone_nothing_is_wider_than_the_screen_and_touch_moves_the_line(opened):
    page = opened(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True,
        has_touch=True,
    )  # fmt: skip
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    picture = page.locator("article").first
    sizes = picture.locator("button, .views label").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 36
    sheet = picture.locator(".sheet").bounding_box()
    page.touchscreen.tap(sheet["x"] + 0.25 * sheet["width"], sheet["y"] + 40)
    assert boundary(picture) == pytest.approx(0.25, abs=0.02)


def test_light_and_dark_follow_the_system_and_text_can_be_read(opened):
    light, dark = (
        opened(color_scheme=scheme).evaluate(
            "['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name]"
            ".match(/\\d+/g).map(Number))"
        )
        for scheme in ("light", "dark")
    )
    assert np.mean(light[0]) > 240
    assert np.mean(dark[0]) < 40
    for ground, text in (light, dark):
        assert abs(np.mean(ground) - np.mean(text)) > 180


def test_without_scripts_half_of_each_picture_is_shown_before(opened):
    picture = opened(java_script_enabled=False).locator("article").first
    row = screenshot(picture.locator(".frame"))[100]
    assert is_near(row[50:400], BEFORE).mean() > 0.7
    assert is_near(row[-400:-50], AFTER).all()
