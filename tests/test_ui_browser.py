"""The page of `ui` in headless Chromium: from drop to download, stopped, refused, small and dark.

It takes the extras `browser` and `ui` and a Chromium of the system, and is skipped without.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from conftest import save_pictures

import ssl_restore as sr
from ssl_restore.io import images
from ssl_restore.ui.serve import served

playwright = pytest.importorskip(
    "playwright.sync_api", reason="drives a browser: needs the extra `browser`"
)
pytest.importorskip("gradio", reason="needs the extra `ui`")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
MAX_MB = 8.0
expect = playwright.expect
BUSY_MS = 120_000  # that a busy machine may take
expect.set_options(timeout=BUSY_MS)


@pytest.fixture(scope="module")
def called():
    """Addresses that anything in this process asks for, besides those of this machine."""
    found, ask = [], socket.getaddrinfo

    def recorded(host, *arguments, **options):
        if host not in ("127.0.0.1", "localhost", None):
            found.append(host)
        return ask(host, *arguments, **options)

    socket.getaddrinfo = recorded
    yield found
    socket.getaddrinfo = ask


@pytest.fixture(scope="module")
def address(called):
    with served(port=0, max_mb=MAX_MB) as at:
        yield at


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture
def opened(browser, address):
    """`opened(**options of a context)`: the page; an error in it, or a request to another host,
    fails the test."""
    contexts, said, asked = [], [], []

    def show(**options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(BUSY_MS)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#weights input")
        return page

    yield show
    for context in contexts:
        context.close()
    assert said == []
    hosts = {urlsplit(url).netloc for url in asked if url.startswith(("http", "ws"))}
    assert hosts == {urlsplit(address).netloc}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("given") / "pictures", 3, size=(96, 128))


def drop(page, *files):
    page.set_input_files("#drop input[type=file]", [str(file) for file in files])


def drag(page, path):
    """Drag a file or folder from the desktop onto the page, and drop it there."""
    box = page.locator("#drop").bounding_box()
    session = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {
            "type": step, "x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2,
            "data": {"items": [], "files": [str(path)], "dragOperationsMask": 1},
        })  # fmt: skip


def says(page, text, selector="#progress"):
    expect(page.locator(selector)).to_contain_text(text)


def press(page, name):
    page.locator(f"#{name}").click()


def test_a_picture_is_restored_from_drop_to_download(opened, folder, tmp_path):
    page = opened()
    drop(page, folder / "0.png")
    says(page, "0.png", "#pictures")
    press(page, "restore")
    says(page, "1 of 1 restored")
    expect(page.locator("#slider img").first).to_be_visible()
    with page.expect_download() as waiting:
        press(page, "download")
    assert waiting.value.suggested_filename == "0.png"
    waiting.value.save_as(tmp_path / "0.png")
    expected = sr.restore(folder / "0.png", "derain")
    assert np.array_equal(images.read(tmp_path / "0.png").pixels, expected.pixels)


def test_a_folder_can_be_chosen(opened, folder):
    page = opened()
    with page.expect_file_chooser() as waiting:
        press(page, "folder")
    waiting.value.set_files(str(folder))
    says(page, "2.png", "#pictures")
    expect(page.locator("#pictures input")).to_have_count(3)


def test_a_dropped_folder_is_restored_by_two_settings_which_are_compared(opened, folder):
    page = opened()
    drag(page, folder)
    says(page, "2.png", "#pictures")
    press(page, "restore")
    says(page, "3 of 3 restored")
    page.locator("#quality").get_by_text("best", exact=True).click()
    press(page, "restore")
    expect(page.locator("#right input")).to_have_value("derain, best")
    says(page, "3 of 3 restored")
    expect(page.locator("#stop")).to_be_disabled(timeout=120_000)  # nothing is under way
    page.locator("#left input").click()
    page.get_by_role("option", name="derain", exact=True).click()
    page.locator("#look input").check()
    expect(page.locator(".side img")).to_have_count(2)
    with page.expect_download() as waiting:
        press(page, "archive")
    assert waiting.value.suggested_filename.endswith(".zip")


def test_a_refused_file_is_one_line_and_the_others_are_taken(opened, folder, tmp_path):
    page = opened()
    (tmp_path / "letter.txt").write_text("Dear")
    drop(page, tmp_path / "letter.txt", folder / "0.png")
    says(page, "letter.txt: neither a picture", "#notes")
    expect(page.locator("#notes li")).to_have_count(1)
    expect(page.locator("#pictures input")).to_have_count(1)


def test_a_file_that_is_too_large_is_refused(opened, tmp_path):
    page = opened()
    (tmp_path / "large.png").write_bytes(bytes(int(MAX_MB * 1e6) + 1))
    drop(page, tmp_path / "large.png")
    expect(page.get_by_text("exceed the maximum allowed size")).to_be_visible(timeout=120_000)
    expect(page.locator("#pictures input")).to_have_count(0)


def test_what_runs_can_be_stopped(opened, tmp_path):
    page = opened()
    drop(page, *save_pictures(tmp_path / "several", 4, size=(500, 700)).iterdir())
    says(page, "0.png", "#pictures")
    page.locator("#quality").get_by_text("best", exact=True).click()
    press(page, "restore")
    expect(page.locator("#stop")).to_be_enabled()
    press(page, "stop")
    says(page, "stopped")
    says(page, "not restored", "#pictures")
    expect(page.locator("#restore")).to_be_enabled()


def test_closing_the_page_in_the_middle_leaves_nothing(opened, tmp_path):
    page = opened()
    drop(page, *save_pictures(tmp_path / "large", 1, size=(1000, 1400)).iterdir())
    says(page, "0.png", "#pictures")
    root = Path(os.environ["GRADIO_TEMP_DIR"])
    (mine,) = (path.parent for path in root.glob("*/pictures") if list(path.glob("0.png")))
    press(page, "restore")
    expect(page.locator("#stop")).to_be_enabled()
    page.close()
    until = time.monotonic() + 60
    while mine.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not mine.exists()


def test_a_user_sees_neither_pictures_of_others_nor_other_files(opened, folder, address):
    first, second = opened(), opened()
    drop(first, folder / "1.png")
    says(first, "1.png", "#pictures")
    expect(second.locator("#pictures input")).to_have_count(0)
    place = urlsplit(address)
    for path in ("/etc/passwd", str(folder / "1.png"), "../setup.cfg", "ssl_restore/ui/serve.py"):
        status, _ = asked(place, "GET", f"/gradio_api/file={quote(path)}")
        assert status in (403, 404), path
    forged = {"path": str(folder / "1.png"), "meta": {"_type": "gradio.FileData"}}
    config = json.loads(asked(place, "GET", "/config")[1])
    events = [one["id"] for one in config["dependencies"] if one["targets"][0][1] == "upload"]
    assert len(events) == 2
    for event in events:
        body = {"data": [[forged]], "fn_index": event, "session_hash": f"forged{event}"}
        assert asked(place, "POST", "/gradio_api/queue/join", body)[0] == 200
        data = f"/gradio_api/queue/data?session_hash=forged{event}"
        _, answer = asked(place, "GET", data)
        assert b'"success":false' in answer.replace(b" ", b"")
        assert b"1.png" not in answer
    status, _ = asked(place, "GET", "/", host="elsewhere.example")
    assert status == 403


def asked(place, method, path, body=None, host=None):
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    headers = {"host": host or place.netloc, "content-type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_on_a_phone_nothing_is_wider_than_the_screen(opened, folder):
    page = opened(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True,
        has_touch=True,
    )  # fmt: skip
    drop(page, folder / "0.png")
    press(page, "restore")
    says(page, "1 of 1 restored")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_light_and_dark_follow_the_system(opened):
    light, dark = (
        np.mean(
            opened(color_scheme=scheme).evaluate(
                "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
            )[:3]
        )
        for scheme in ("light", "dark")
    )
    assert light > 230
    assert dark < 60


def test_nothing_was_asked_of_another_machine(opened, called):
    opened()
    assert called == []
