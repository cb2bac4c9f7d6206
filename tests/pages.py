"""Pages of `report`, read as a browser reads them, and folders to make them of."""

from __future__ import annotations

import base64
import io
import shutil
from html.parser import HTMLParser

import numpy as np
from click.testing import CliRunner
from PIL import Image

from ssl_restore.io import images
from ssl_restore.io.picture import Picture
from ssl_restore_cli.main import main

NOTHING = {"nan": "–"}  # what a table of the page shows for it
EMPTY = {"meta", "link", "img", "input", "br", "line", "path", "circle"}  # have no end


class Page(HTMLParser):
    """elements: (name, attributes, text inside) in the order in which they begin."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag, attrs):
        element = [tag, dict(attrs), ""]
        self.elements.append(element)
        if tag not in EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for element in self._open:
            element[2] += data

    def all(self, tag, **attributes):
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [e for e in self.elements if e[0] == tag and wanted.items() <= e[1].items()]

    def texts(self, tag, **attributes):
        return [" ".join(text.split()) for *_, text in self.all(tag, **attributes)]

    def table(self, caption):
        """Heading of a row -> its values, of the last table of this caption: that of the means."""
        tables, cells, inside = [], None, ""
        for tag, attributes, text in self.elements:
            if tag == "caption":
                inside = text.strip()
                tables += [{}] if inside == caption else []
            elif inside == caption and tag == "th" and attributes.get("scope") == "row":
                cells = tables[-1].setdefault(text, [])
            elif inside == caption and tag == "td":
                cells.append(text)
        return tables[-1]

    def picture(self, alt):
        """The pixels of the image that is described so."""
        ((_, attributes, _),) = self.all("img", alt=alt)
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def report(*arguments):
    """Run the command; a traceback, which is anything but an exit, fails the test."""
    result = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def page_of(folder, output, *arguments):
    result = report(folder, "-o", output, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{output}\n"
    return Page(output.read_text(encoding="utf-8"))


def refused(*arguments):
    """The one line of a call that wrote nothing."""
    result = report(*arguments)
    assert result.exit_code in (1, 2)  # which: test_cli.py
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def evaluated(*arguments):
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()[2:]
    return {line[:14].strip(): line[14:].split()[:-2] for line in lines}


def error(shown, pixels):
    """Root mean square, of 255: about 4 of a JPEG of this quality, on noise."""
    return float(np.sqrt(np.square(shown.astype(float) - pixels).mean()))


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def folder_of(folder, picture_pixels):
    folder.mkdir()
    images.write(folder / "a.png", Picture(picture_pixels))
    return folder
